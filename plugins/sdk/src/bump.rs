//! An allocator that never frees, for components that hold little and do much:
//! the host drops the whole instance after its batch.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ptr;

const PAGE: usize = 65_536;

/// Takes memory from the end and gives none back, except that the newest piece
/// may grow or shrink where it is. Faster and smaller than the default, and
/// wrong for rules that allocate without bound in a loop.
///
/// ```ignore
/// #[cfg(target_arch = "wasm32")]
/// #[global_allocator]
/// static ALLOCATOR: dealsync_rules_sdk::Bump = dealsync_rules_sdk::Bump::new();
/// ```
#[derive(Debug)]
pub struct Bump {
    /// First free address, and the end of memory; both 0 before the first use.
    next: Cell<usize>,
    end: Cell<usize>,
}

impl Bump {
    pub const fn new() -> Self {
        Self { next: Cell::new(0), end: Cell::new(0) }
    }

    fn take(&self, start: usize, size: usize) -> Option<usize> {
        let stop = start.checked_add(size)?;
        if stop > self.end.get() {
            self.grow(stop)?;
        }
        self.next.set(stop);
        Some(start)
    }

    #[cold]
    fn grow(&self, stop: usize) -> Option<()> {
        let had = core::arch::wasm32::memory_size(0) * PAGE;
        if stop > had {
            // Ahead of need, so that a large batch does not grow page by page.
            let pages = (stop - had).div_ceil(PAGE);
            if core::arch::wasm32::memory_grow(0, pages + 3) == usize::MAX
                && core::arch::wasm32::memory_grow(0, pages) == usize::MAX
            {
                return None;
            }
        }
        self.end.set(core::arch::wasm32::memory_size(0) * PAGE);
        Some(())
    }

    fn first(&self) -> usize {
        if self.next.get() == 0 {
            // Everything below is the program's own data and stack.
            self.next.set(&raw const __heap_base as usize);
            self.end.set(core::arch::wasm32::memory_size(0) * PAGE);
        }
        self.next.get()
    }
}

#[expect(unsafe_code, reason = "the linker puts this where the heap may begin; only its address is taken")]
unsafe extern "C" {
    safe static __heap_base: u8;
}

impl Default for Bump {
    fn default() -> Self {
        Self::new()
    }
}

#[expect(unsafe_code, reason = "the component has one thread: no wasm threads are enabled in the host")]
unsafe impl Sync for Bump {}

#[expect(
    unsafe_code,
    reason = "an allocator deals in raw memory; pieces never overlap, since `next` only grows past them"
)]
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let mask = layout.align() - 1;
        let start = self.first().checked_add(mask).map(|start| start & !mask);
        match start.and_then(|start| self.take(start, layout.size())) {
            Some(at) => at as *mut u8,
            None => ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if at as usize + layout.size() == self.next.get() {
            self.next.set(at as usize);
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // Memory given back by `dealloc` may be dirty, so it is cleared here.
        unsafe {
            let at = self.alloc(layout);
            if !at.is_null() {
                ptr::write_bytes(at, 0, layout.size());
            }
            at
        }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if at as usize + layout.size() == self.next.get() {
            return match self.take(at as usize, size) {
                Some(at) => at as *mut u8,
                None => ptr::null_mut(),
            };
        }
        if size <= layout.size() {
            return at;
        }
        unsafe {
            let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                ptr::copy_nonoverlapping(at, new, layout.size());
            }
            new
        }
    }
}
