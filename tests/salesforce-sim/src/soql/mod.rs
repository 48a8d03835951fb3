//! SOQL: text to tokens, tokens to a tree, the tree bound to an org's schema, and the
//! bound plan run over its rows.

pub mod ast;
pub mod bind;
pub mod eval;
pub mod lexer;
pub mod parser;
pub mod render;

#[cfg(test)]
mod tests;
