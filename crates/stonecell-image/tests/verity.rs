//! The hash tree against `veritysetup format`: the same bytes for the same salt and UUID.

#![allow(clippy::tests_outside_test_module, reason = "the whole file is tests")]

mod support;

use std::fs;
use std::fs::File;

use proptest::prelude::*;
use stonecell_image::build_verity;
use stonecell_image::source::FilePart;
use support::run;
use uuid::Uuid;

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..Default::default() })]

    #[test]
    fn it_is_what_veritysetup_writes(
        // Around the places where a level is added: 1, 128, 128 * 128 blocks.
        blocks in prop_oneof![1_usize..4, 126_usize..131, 1000_usize..3000, 16_382_usize..16_387],
        salt in prop::collection::vec(any::<u8>(), 1..64), uuid in any::<u128>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let data_path = dir.path().join("data");
        let bytes: Vec<u8> = (0..blocks * 4096).map(|i| (i / 512).to_le_bytes()[0]).collect();
        fs::write(&data_path, bytes).unwrap();
        let data = File::open(&data_path).unwrap();
        let ours = dir.path().join("ours");
        let uuid = Uuid::from_u128(uuid);
        let hash = File::options().read(true).write(true).create_new(true).open(&ours).unwrap();
        let root = build_verity(&FilePart::whole(&data).unwrap(), &hash, 0, &salt, uuid).unwrap();

        let theirs = dir.path().join("theirs");
        let printed = run("veritysetup", [
            "format".as_ref(), data_path.as_os_str(), theirs.as_os_str(),
            "--salt".as_ref(), hex::encode(&salt).as_ref(),
            "--uuid".as_ref(), uuid.hyphenated().to_string().as_ref(),
        ]);
        let printed = String::from_utf8(printed).unwrap();
        let line = printed.lines().find(|line| line.starts_with("Root hash:")).unwrap();
        prop_assert_eq!(line.rsplit(char::is_whitespace).next().unwrap(), root.to_string());
        // veritysetup leaves the rest of the superblock's 4096 bytes out when no level follows.
        let (mut ours, mut theirs) = (fs::read(&ours).unwrap(), fs::read(&theirs).unwrap());
        let length = ours.len().max(theirs.len());
        ours.resize(length, 0);
        theirs.resize(length, 0);
        prop_assert!(ours == theirs, "the trees differ");
    }
}
