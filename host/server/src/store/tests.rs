//! What the store promises, said as tests.
