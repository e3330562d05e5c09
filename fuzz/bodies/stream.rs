//! A stream of a model server: however it is cut into pieces, it comes to the same answer or the same refusal.

pub fn run(data: &[u8]) {
    let Some((first, stream)) = data.split_first() else {
        return;
    };
    let whole = llm::recorded::answer_in([stream], 4096);
    let pieces = llm::recorded::answer_in(stream.chunks(usize::from(*first).max(1)), 4096);
    assert_eq!(whole.is_ok(), pieces.is_ok(), "{whole:?} {pieces:?}");
    if let (Ok(whole), Ok(pieces)) = (whole, pieces) {
        assert_eq!(whole, pieces);
    }
}
