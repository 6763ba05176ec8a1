//! Pickles written by hand, opcode by opcode.

use super::*;
use crate::weights::StoredType;
use proptest::prelude::*;

fn problem(bytes: &[u8]) -> String {
    parse(bytes).unwrap_err().0
}

/// A tensor: `_rebuild_tensor_v2(storage, offset, size, stride, False, OrderedDict())`.
fn tensor(key: &str, kind: &str, elements: u8, offset: u8, shape: &[u8], strides: &[u8]) -> Vec<u8> {
    let mut bytes = b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec();
    let text = |bytes: &mut Vec<u8>, text: &str| {
        bytes.extend([0x8c, text.len() as u8]);
        bytes.extend(text.as_bytes());
    };
    text(&mut bytes, "storage");
    bytes.extend(format!("ctorch\n{kind}\n").as_bytes());
    text(&mut bytes, key);
    text(&mut bytes, "cpu");
    bytes.extend([b'K', elements, b't', b'Q', b'K', offset]);
    for sizes in [shape, strides] {
        bytes.push(b'(');
        bytes.extend(sizes.iter().flat_map(|size| [b'K', *size]));
        bytes.push(b't');
    }
    bytes.extend(b"\x89ccollections\nOrderedDict\n)RtR");
    bytes
}

/// A dictionary of `name: value`; the values are already pickled.
fn dict(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = b"}(".to_vec();
    for (name, value) in entries {
        bytes.extend([0x8c, name.len() as u8]);
        bytes.extend(name.as_bytes());
        bytes.extend(value);
    }
    bytes.push(b'u');
    bytes
}

fn pickle(body: &[u8]) -> Vec<u8> {
    [b"\x80\x02", body, b"."].concat()
}

#[test]
fn tensors_of_a_state_dict() {
    let tensor = |key| tensor(key, "HalfStorage", 12, 2, &[2, 3], &[3, 1]);
    let inner = dict(&[("b", tensor("1")), ("a", tensor("0")), ("n", b"K\x05".to_vec())]);
    let bytes = pickle(&dict(&[("global_step", b"J\xf8\x59\x0d\x00".to_vec()), ("state_dict", inner)]));
    let pickle = parse(&[&bytes[..], b"more"].concat()).unwrap();
    assert_eq!(pickle.length, bytes.len());
    assert_eq!(pickle.integer("global_step"), Some(875_000));
    let tensors = pickle.tensors();
    assert_eq!(tensors.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["b", "a"]);
    let storage = Storage { key: "1".into(), dtype: StoredType::F16, elements: 12 };
    assert_eq!(*tensors[0].1, StoredTensor { storage, offset: 2, shape: vec![2, 3], strides: vec![3, 1] });
}

#[test]
fn parameters_and_ordered_dictionaries() {
    let tensor = tensor("0", "FloatStorage", 1, 0, &[], &[]);
    let parameter = [b"ctorch._utils\n_rebuild_parameter\n(", &tensor[..], b"\x88NtR"].concat();
    let pairs = [b"ccollections\nOrderedDict\n](]\x8c\x01pa", &parameter[..], b"ae\x85R}b"].concat();
    let parsed = parse(&pickle(&pairs)).unwrap();
    assert_eq!(parsed.tensors()[0].0, "p");
    let built = [
        b"ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_parameter\nctorch.nn.parameter\nParameter\n(",
        &tensor[..],
        b"\x88Nt}tR",
    ]
    .concat();
    assert_eq!(parse(&pickle(&dict(&[("q", built)]))).unwrap().tensors()[0].0, "q");
}

#[test]
fn objects_of_training_scripts_are_inert() {
    let checkpoint = b"cpytorch_lightning.callbacks.model_checkpoint\nModelCheckpoint\n)\x81}\x8c\x01ak\x01b";
    assert!(parse(&pickle(checkpoint)).is_err(), "a damaged one");
    let scalar = b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(\x8c\x02f8K\x00K\x01tR(K\x03\x8c\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tbc_codecs\nencode\n(\x8c\x01x\x8c\x06latin1tRtR";
    let callbacks = [
        b"}cpytorch_lightning.callbacks.model_checkpoint\nModelCheckpoint\n",
        &dict(&[("best", scalar.to_vec())])[..],
        b"s",
    ]
    .concat();
    let set = b"c__builtin__\nset\n](K\x01K\x02e\x85R".to_vec();
    let model = tensor("0", "BFloat16Storage", 1, 0, &[1], &[1]);
    let bytes = pickle(&dict(&[("callbacks", callbacks), ("set", set), ("model", model)]));
    assert_eq!(parse(&bytes).unwrap().tensors().len(), 1);
}

#[test]
fn the_memo_can_refer_to_unfinished_values() {
    // l = []; d = {"l": l}; l.append(1); and d again.
    let parsed = parse(b"\x80\x04}\x94\x8c\x01l]\x94sh\x01K\x07ah\x000h\x00.").unwrap();
    let Value::Dict(entries) = parsed.root() else { panic!("{:?}", parsed.root()) };
    assert!(matches!(parsed.value(entries[0].1), Value::List(items) if items.len() == 1));
}

#[test]
fn names_that_are_not_allowed_are_refused() {
    for (bytes, name) in [
        (&b"cos\nsystem\n\x8c\x04echo\x85R."[..], "os.system"),
        (b"cbuiltins\neval\n.", "builtins.eval"),
        (b"\x80\x04\x8c\x05posix\x8c\x06system\x93.", "posix.system"),
        (b"ctorch.hub\nload\n.", "torch.hub.load"),
        (b"ctorch.storage\n_load_from_bytes\n.", "torch.storage._load_from_bytes"),
        (b"cpytorch_lightning_evil\nx\n.", "pytorch_lightning_evil.x"),
    ] {
        let expected = format!("refers to {name}, which is not allowed in checkpoints");
        assert_eq!(problem(bytes), expected);
    }
}

#[test]
fn every_problem_is_named() {
    let rebuild = |arguments: &[u8]| [b"ctorch._utils\n_rebuild_tensor_v2\n(", arguments, b"tR."].concat();
    let good = tensor("0", "FloatStorage", 1, 0, &[1], &[1]);
    let with = |old: &[u8], new: &[u8]| {
        let at = good.windows(old.len()).position(|window| window == old).unwrap();
        [&good[..at], new, &good[at + old.len()..], b"."].concat()
    };
    let long_key = tensor(&"9".repeat(250), "FloatStorage", 1, 0, &[], &[]);
    assert!(parse(&pickle(&long_key)).is_ok());
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (b"".to_vec(), "the pickle is cut off at byte 0"),
        (b"\x80\x02X\xff\xff\xff\xff".to_vec(), "the pickle is cut off at byte 7"),
        (b"\x80\x06.".to_vec(), "pickle protocol 6, expected at most 5"),
        (b"I1\n.".to_vec(), "opcode 0x49 at byte 0 is not supported"),
        (b"ios\nsystem\n.".to_vec(), "opcode 0x69 at byte 0 is not supported"),
        (b".".to_vec(), "the stack is empty at byte 1"),
        (b"K\x01(R".to_vec(), "the stack is empty at byte 4"),
        (b"N0q\x00".to_vec(), "the stack is empty at byte 4"),
        (b"t".to_vec(), "no mark on the stack at byte 1"),
        (b"h\x05".to_vec(), "memo 5 is read at byte 2 before it is written"),
        (b"K\x01K\x02a.".to_vec(), "an item is appended to a value that is not a list, at byte 5"),
        (b"K\x01NNs.".to_vec(), "an entry is set in a value that is not a dictionary, at byte 5"),
        (b"}(Nu.".to_vec(), "a key without a value"),
        (b"c\xff\n\n.".to_vec(), "a name before byte 3 is not UTF-8"),
        (b"NN\x93.".to_vec(), "a global at byte 3 is not named by strings"),
        (b"K\x01)R.".to_vec(), "the value called at byte 4 is not a function"),
        (b"ctorch\nSize\nNR.".to_vec(), "the arguments of a call at byte 14 are not a tuple"),
        (b"ccollections\nOrderedDict\nN\x85R.".to_vec(), "a dictionary at byte 28 is not built from a list"),
        (b"ccollections\nOrderedDict\n]K\x01a\x85R.".to_vec(), "a dictionary at byte 31 is not built from pairs"),
        (rebuild(b"N"), "a tensor at byte 37 is rebuilt from too few arguments"),
        (rebuild(b"NNNN"), "a tensor at byte 40 has no storage"),
        (with(b"K\x00(", b"J\xff\xff\xff\xff("), "a tensor at byte 119 has an invalid offset in its storage"),
        (with(b"(K\x01t(", b"(Nt("), "a tensor at byte 115 has an invalid shape or strides"),
        (with(b"(K\x01t(", b"(K\x01K\x02t("), "a tensor at byte 118 has 2 axes, but 1 strides"),
        (b"NQ.".to_vec(), "a storage at byte 2 is not a tuple"),
        (b"N\x85Q.".to_vec(), "a storage at byte 3 is not described as in PyTorch"),
        (with(b"storage", b"storagf"), "a storage at byte 76 is not described as in PyTorch"),
    ];
    for (bytes, expected) in cases {
        assert_eq!(problem(&bytes), expected, "{:?}", String::from_utf8_lossy(&bytes));
    }
    let axes = tensor("0", "FloatStorage", 1, 0, &[1; 65], &[1; 65]);
    assert!(problem(&pickle(&axes)).ends_with("has 65 axes, expected at most 64"));
    let twice = b"ctorch._tensor\n_rebuild_from_type_v2\nq\x00(h\x00N)}tR.";
    assert_eq!(problem(twice), "a tensor is rebuilt from a type twice");
}

#[test]
fn bombs_are_defused() {
    // A million nested lists: recursion would overflow the stack, even when freeing them.
    let nested = [vec![b']'; 1_000_000], vec![b'a'; 999_999], b".".to_vec()].concat();
    assert!(parse(&nested).unwrap().tensors().is_empty());
    // A list that contains itself.
    assert!(parse(b"]q\x00h\x00a}h\x00h\x00s0.").is_ok());
    assert_eq!(problem(&[vec![b']'; 5_000_000], b".".to_vec()].concat()), "more than 4194304 values");
    // A long list that becomes a dictionary again and again would need endless memory.
    let mut bytes = b"](".to_vec();
    bytes.extend(b"]NaNaq\x00".iter().chain(&vec![[b'h', 0]; 100_000].concat()));
    bytes.extend(b"e\x85q\x01");
    for _ in 0..100 {
        bytes.extend(b"ccollections\nOrderedDict\nh\x01R");
    }
    assert_eq!(problem(&bytes), "more than 4194304 values");
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_not_panic(bytes: Vec<u8>) {
        let _ = parse(&bytes).map(|pickle| pickle.tensors().len());
    }

    #[test]
    fn arbitrary_programs_do_not_panic(opcodes in prop::collection::vec(prop::sample::select(&b"(.0123NKhqt)]}aesulRbQ\x81\x85\x86\x87\x88\x93\x94\x8f\x90\x91\x92\x01\x02"[..]), 0..200)) {
        let _ = parse(&[b"ccollections\nOrderedDict\nq\x00ctorch._utils\n_rebuild_tensor_v2\nq\x01", &opcodes[..], b"."].concat());
    }

    #[test]
    fn a_damaged_pickle_does_not_panic(at in 0_usize..200, byte: u8) {
        let mut bytes = pickle(&dict(&[("a", tensor("0", "FloatStorage", 6, 0, &[2, 3], &[3, 1]))]));
        if let Some(place) = bytes.get_mut(at) {
            *place = byte;
        }
        let _ = parse(&bytes).map(|pickle| pickle.tensors().len());
    }

    #[test]
    fn pythons_integers_are_read(number: i64) {
        let bytes = number.to_le_bytes();
        let written = [&[0x8a, 8][..], &bytes, b"."].concat();
        prop_assert!(parse(&written).unwrap().root() == &Value::Int(number));
        if let Ok(small) = i32::try_from(number) {
            let written = [&[b'J'][..], &small.to_le_bytes(), b"."].concat();
            prop_assert!(parse(&written).unwrap().root() == &Value::Int(number));
        }
    }
}
