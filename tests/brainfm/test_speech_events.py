import pytest

from brainfm.speech_blocks import Sentence, merge_sentences
from brainfm.speech_events import SpeechEventConfig, Word, speech_events
from brainfm.speech_segments import SpeechSegment, heard_id, parse_heard
from brainfm.trial_events import content_id


def sentence(text, begin, end, sound="a"):
    return Sentence(sound=sound, text=text, begin=begin, end=end)


def test_a_segment_is_one_word_and_comes_back():
    segment = SpeechSegment(sound="ab12", at=12.34, begin=10.0, end=17.5)
    assert segment.id == "ab12:12.3400:10.0000:17.5000"
    assert parse_heard(segment.id).attended == segment
    assert SpeechSegment(sound="ab12").id == "ab12"
    assert parse_heard("ab12").attended == SpeechSegment(sound="ab12")
    rival = SpeechSegment(sound="cd34", at=1.0)
    assert parse_heard(heard_id(segment, [rival])) == (segment, (rival,))
    for wrong in ("ab12:1:2", "ab12:x:0:1", "ab12:5:0:1", "ab12:5:6:7", ":1:0:2"):
        with pytest.raises(ValueError, match=r"no stretch of a sound|content id"):
            parse_heard(wrong)


def test_sentences_are_merged_until_they_are_long_enough():
    story = [
        sentence("one", 0.5, 3.0),
        sentence("two", 3.5, 5.0),
        sentence("three", 5.5, 7.0),
        sentence("four", 8.0, 15.0),
        sentence("five", 16.0, 17.0),
    ]
    blocks = merge_sentences(story, least_s=6)
    # .5 to 7.0 are 6.5 s; the pause to the next block belongs to the block before.
    assert [(b.begin, b.end) for b in blocks] == [(0.5, 8.0)] * 3 + [(8.0, 16.0)] + [(16.0, 17.0)]
    assert blocks[0].group == blocks[2].group != blocks[3].group
    assert blocks[3].group == content_id("Four")
    singles = merge_sentences(story, least_s=0)
    assert [b.group for b in singles] == [content_id(s.text) for s in story]


def test_the_same_sentence_is_in_one_group_in_every_sound():
    story = [sentence("Yes.", 0, 7), sentence("the cat", 7, 14), sentence("a dog", 14, 21)]
    other = [sentence("a dog", 2, 4, "b"), sentence("and then", 4, 9, "b")]
    blocks = merge_sentences([*other, *story], least_s=6)
    assert blocks[0].group == blocks[1].group == blocks[4].group
    assert len({b.group for b in blocks}) == 3
    # Whatever order they are given in.
    turned = merge_sentences([*story[::-1], *other[::-1]], least_s=6)
    assert [b.group for b in turned] == [b.group for b in [*blocks[:1:-1], *blocks[1::-1]]]


def test_sentences_that_overlap_are_refused():
    with pytest.raises(ValueError, match="before 'one' ends"):
        merge_sentences([sentence("one", 0, 3), sentence("two", 2, 4)])
    with pytest.raises(ValueError, match="must end after"):
        sentence("one", 1, 1)


def words(offset, *, first=0, sound="a"):
    spoken = [("The", 0.2, "s0"), ("cat", 0.5, "s0"), ("Sat", 7.0, "s1"), ("down", 7.4, "s1")]
    return [
        Word(text=t, onset=offset + at, sound=sound, at=at, duration=0.3, sentence=s)
        for t, at, s in spoken[first:]
    ]


def test_units_are_those_of_the_sound_whatever_a_subject_heard_of_it():
    found = speech_events({"sub1": words(10.0), "sub2": words(3.0, first=2)})
    one, two = found["sub1"], found["sub2"]
    assert [e.name for e in one] == ["the", "cat", "sat", "down"]
    assert [e.onset for e in one] == pytest.approx([10.2, 10.5, 17.0, 17.4])
    assert [(e.stimulus, e.group) for e in two] == [(e.stimulus, e.group) for e in one[2:]]
    # Blocks of 6 s: "The cat" lasts .6 s, so all four words are one.
    assert len({e.group for e in one}) == 1
    segment = parse_heard(one[2].stimulus).attended
    assert (segment.at, segment.begin, segment.end) == (7.0, 0.2, pytest.approx(7.7))
    apart = speech_events({"sub1": words(10.0)}, SpeechEventConfig(block_s=0))["sub1"]
    assert [e.group for e in apart] == [content_id("the cat")] * 2 + [content_id("sat down")] * 2
    # The pause between sentences belongs to the first.
    assert parse_heard(apart[0].stimulus).attended.end == 7.0


def test_sentence_events_are_at_first_words():
    config = SpeechEventConfig(unit="sentence", block_s=0)
    twice = [*words(10.0), *words(30.0)]
    events = speech_events({"sub1": twice}, config)["sub1"]
    assert [e.onset for e in events] == pytest.approx([10.2, 17.0, 30.2, 37.0])
    assert {e.name for e in events} == {"sentence"}
    assert events[0].duration == pytest.approx(0.6)


def test_recordings_of_different_alignments_are_refused():
    late = [
        Word(text=w.text, onset=w.onset, sound="a", at=w.at + 0.03, duration=0.3, sentence="s0")
        for w in words(0.0)[:2]
    ]
    with pytest.raises(ValueError, match="not of one alignment"):
        speech_events({"sub1": words(10.0), "sub2": late})
