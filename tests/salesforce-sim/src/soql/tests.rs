#[test]
fn an_and_b_or_c_needs_parentheses() {
    assert!(super::parser::parse("SELECT Id FROM A WHERE x = 1 AND y = 2 OR z = 3").is_err());
}
