//! How much a component may use, by name. Every limit here bounds something that
//! a tenant controls; the same numbers hold on an author's laptop and in service.

/// Limits of one component. Two profiles exist; an operator may raise single
/// numbers for a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Bytes of an uploaded file.
    pub component_bytes_max: usize,
    /// Bytes of it without custom sections, which hold names and line tables.
    pub code_bytes_max: usize,
    /// Functions in a component, over all its core modules.
    pub functions_max: u32,
    /// Types in a component, over all its parts.
    pub types_max: u32,
    /// Bytes of one function's body: compile time grows faster than its length.
    pub function_bytes_max: usize,
    /// Rows of one call.
    pub rows_max: usize,
    /// Bytes of packed input of one call; a single larger row travels alone.
    pub input_bytes_max: usize,
    /// Fuel of a call with no rows…
    pub fuel_base: u64,
    /// …and what each row adds.
    pub fuel_per_row: u64,
    /// Fuel to start an instance and configure it.
    pub configure_fuel: u64,
    /// Milliseconds of wall clock for one call: a backstop far above what the
    /// fuel takes, so that it strikes only where the machine is in trouble.
    pub wall_ms: u64,
    /// As `wall_ms`, for starting and configuring an instance.
    pub configure_wall_ms: u64,
    /// Bytes of linear memory.
    pub memory_bytes_max: usize,
    /// Entries of a table.
    pub table_elements_max: usize,
    /// Bytes copied out of the component by one call, its imports included.
    pub output_bytes_max: usize,
    /// Edits of one row in one answer, and likewise findings.
    pub edits_per_row_max: u16,
    /// Entries in an answer's list of causes.
    pub causes_max: usize,
    /// Bytes of a message, fix, note or panic text; longer ones are cut.
    pub message_bytes_max: usize,
    /// Bytes of a rule's name or a code; longer ones are cut.
    pub name_bytes_max: usize,
    /// Bytes of one text value. Salesforce's long text areas hold 131,072 characters.
    pub value_bytes_max: usize,
    /// Lines logged by one call; later ones are counted, not kept.
    pub log_lines_max: usize,
    /// Keys in one look-up.
    pub lookup_keys_max: usize,
    /// Keys looked up by one call in all.
    pub lookup_keys_total_max: usize,
    /// Calls of any import by one call.
    pub import_calls_max: u32,
    /// How often the fuel of a whole batch may be spent on finding the rows that
    /// make it fail.
    pub isolation_batches_max: u64,
}

const MIB: usize = 1 << 20;

impl Limits {
    /// For components compiled from Rust, C or Zig.
    pub fn compiled() -> Self {
        Self {
            component_bytes_max: 10 * MIB,
            code_bytes_max: 2 * MIB,
            functions_max: 20_000,
            types_max: 20_000,
            function_bytes_max: 256 << 10,
            rows_max: dealsync_core::batch::BATCH_ROWS_MAX,
            input_bytes_max: dealsync_core::batch::BATCH_BYTES_MAX,
            // Measured: 1,500 fuel a record for a rule on packed input, 60,000 for
            // one that parses JSON; 0.14 to 1.7 ns each.
            fuel_base: 2_000_000,
            fuel_per_row: 200_000,
            configure_fuel: 500_000_000,
            // The fuel of a full batch takes 10 to 70 ms. A machine may be ten times
            // slower than that before anybody is blamed.
            wall_ms: 2_000,
            configure_wall_ms: 5_000,
            memory_bytes_max: 16 * MIB,
            table_elements_max: TABLE_ELEMENTS_MAX,
            output_bytes_max: 4 * MIB,
            edits_per_row_max: 64,
            causes_max: 256,
            message_bytes_max: 1_024,
            name_bytes_max: 120,
            value_bytes_max: 131_072,
            log_lines_max: 50,
            lookup_keys_max: 1_000,
            lookup_keys_total_max: 10_000,
            import_calls_max: 200_000,
            isolation_batches_max: 40,
        }
    }

    /// For components that carry an interpreter (JavaScript, Python).
    pub fn interpreted() -> Self {
        Self {
            component_bytes_max: 32 * MIB,
            code_bytes_max: 32 * MIB,
            functions_max: 200_000,
            types_max: 50_000,
            function_bytes_max: 4 * MIB,
            fuel_per_row: 2_000_000,
            configure_fuel: 2_000_000_000,
            wall_ms: 5_000,
            configure_wall_ms: 10_000,
            memory_bytes_max: MEMORY_BYTES_CEILING,
            isolation_batches_max: 10,
            ..Self::compiled()
        }
    }

    /// Fuel of one call with so many rows.
    pub fn fuel(&self, rows: usize) -> u64 {
        self.fuel_base.saturating_add(self.fuel_per_row.saturating_mul(rows as u64))
    }
}

/// No profile and no operator goes beyond; the pool is laid out for it.
pub const MEMORY_BYTES_CEILING: usize = 64 * MIB;
/// Likewise, entries of a table.
pub const TABLE_ELEMENTS_MAX: usize = 20_000;
/// Bytes of stack a component may use. Threads that call rules need this and
/// some for the host.
pub const WASM_STACK_BYTES: usize = 512 << 10;
/// Core instances, memories and tables one component may have.
pub const CORE_INSTANCES_MAX: u32 = 8;
pub const MEMORIES_MAX: u32 = 1;
pub const TABLES_MAX: u32 = 4;
/// Length of one tick of the epoch clock.
pub const TICK_MS: u64 = 10;
/// How long a call waits for a free place in the pool before it gives up.
pub const POOL_WAIT_MS: u64 = 20_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fuel_grows_with_the_rows() {
        assert_eq!(Limits::compiled().fuel(200), 42_000_000);
        assert!(Limits::interpreted().fuel(1) > Limits::compiled().fuel(1));
    }

    #[test]
    fn no_profile_exceeds_what_the_pool_is_laid_out_for() {
        for limits in [Limits::compiled(), Limits::interpreted()] {
            assert!(limits.memory_bytes_max <= MEMORY_BYTES_CEILING);
            assert!(limits.table_elements_max <= TABLE_ELEMENTS_MAX);
        }
    }
}
