//! The lock file by which one process owns a data folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::store::OpenError;

/// Held as long as the store is open. The operating system lets go of it when the
/// process ends, however it ends.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

/// Takes the folder, or says which process has it.
pub fn take(folder: &Path) -> Result<FolderLock, OpenError> {
    let path = folder.join("lock");
    let not_writable = |source| OpenError::NotWritable { path: path.clone(), source };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(not_writable)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(OpenError::InUse { folder: PathBuf::from(folder), pid: pid(&mut file) });
        }
        Err(TryLockError::Error(source)) => return Err(not_writable(source)),
    }
    file.set_len(0)
        .and_then(|()| file.seek(SeekFrom::Start(0)))
        .and_then(|_| write!(file, "{}", std::process::id()))
        .map_err(not_writable)?;
    Ok(FolderLock { _file: file })
}

/// The process id the holder wrote, where it can be read; for the message only.
fn pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
