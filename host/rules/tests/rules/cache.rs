//! Compiled code is used again only where it is exactly what this host wrote.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use dealsync_rules::{CacheSettings, Engine, EngineSettings, Limits};

use crate::kit::*;

fn load_through(dir: &Path, mac_key: [u8; 32], bytes_max: u64) {
    let cache = Some(CacheSettings { dir: dir.to_owned(), mac_key, bytes_max });
    let engine = Engine::new(EngineSettings { cache, live_instances_max: 1 }).expect("an engine");
    engine.load(mischief_bytes(), Limits::compiled()).expect("accepted");
}

fn files(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").path()).collect()
}

#[test]
fn compiled_code_is_used_again_unless_anything_about_it_changed() {
    let dir = tempfile::tempdir().expect("a folder");
    load_through(dir.path(), [1; 32], 1 << 30);
    let [file] = &files(dir.path())[..] else { panic!("one file") };
    let inode = || fs::metadata(file).expect("the file").ino();
    let content = fs::read(file).expect("the file");

    let first = inode();
    load_through(dir.path(), [1; 32], 1 << 30);
    assert_eq!(inode(), first, "unchanged code is not compiled again");

    for at in [0, 20, content.len() / 2, content.len() - 1] {
        let mut tampered = content.clone();
        tampered[at] ^= 1;
        fs::write(file, &tampered).expect("written");
        load_through(dir.path(), [1; 32], 1 << 30);
        assert_ne!(fs::read(file).expect("the file"), tampered, "byte {at}: compiled anew");
    }
    fs::write(file, &content[..content.len() / 2]).expect("written");
    load_through(dir.path(), [1; 32], 1 << 30);
    assert!(fs::metadata(file).expect("the file").len() > content.len() as u64 / 2);

    let before = inode();
    load_through(dir.path(), [2; 32], 1 << 30);
    assert_ne!(inode(), before, "code sealed by another installation is not used");
}

#[test]
fn the_cache_stays_within_its_size() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("old.bin"), vec![0; 4_096]).expect("written");
    load_through(dir.path(), [1; 32], 1_000);
    assert_eq!(files(dir.path()), Vec::<PathBuf>::new(), "neither fits");
}
