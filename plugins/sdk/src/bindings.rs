//! The interface of `wit/rules.wit` as Rust sees it, generated. Rules are
//! written against the rest of this crate; what is here is for those who want
//! the packed lists themselves.

wit_bindgen::generate!({
    path: "../../wit",
    world: "full",
    pub_export_macro: true,
    default_bindings_module: "dealsync_rules_sdk::bindings",
    additional_derives: [PartialEq],
});
