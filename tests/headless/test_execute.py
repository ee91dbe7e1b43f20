"""The runner, tried with toy nodes: what runs, in what order, with what, and what is let go."""

from __future__ import annotations

import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatarvideo.errors import Cancelled, GraphError, MediaError
from avatarvideo.headless.execute import ResultCache, run


class Value:
    def __init__(self, number):
        self.number = number


class ExecutionBlocker:
    def __init__(self, message):
        self.message = message


class Number:
    INPUT_TYPES = classmethod(
        lambda cls: {
            "required": {"value": ("INT", {"default": 0})},
            "optional": {"a": ("NUMBER",), "b": ("NUMBER",)},
        }
    )
    RETURN_TYPES = ("NUMBER",)
    FUNCTION = "add"

    def add(self, value, a=0, b=0):
        return (value + a + b,)


class Show:
    INPUT_TYPES = classmethod(
        lambda cls: {"required": {"number": ("*",)}, "optional": {"label": ("STRING", {})}}
    )
    RETURN_TYPES = ()
    OUTPUT_NODE = True
    FUNCTION = "show"

    def show(self, number, label="none"):
        return {"ui": {"text": [f"{label}:{number}"]}}


NODES: dict[str, type] = {"Number": Number, "Show": Show}


def node(class_type, **inputs):
    return {"class_type": class_type, "inputs": inputs}


def texts(result):
    return {node_id: ui["text"] for node_id, ui in result.ui.items()}


def test_a_diamond_runs_every_node_once():
    prompt = {
        "1": node("Number", value=1),
        "2": node("Number", value=10, a=["1", 0]),
        "3": node("Number", value=100, a=["1", 0]),
        "4": node("Number", value=0, a=["2", 0], b=["3", 0]),
        "5": node("Show", number=["4", 0]),
    }
    result = run(prompt, NODES)
    assert result.executed == ["1", "2", "3", "4", "5"]
    assert texts(result) == {"5": ["none:112"]}


def test_only_what_outputs_need_runs():
    prompt = {
        "1": node("Number", value=1),
        "2": node("Number", value=2),
        "3": node("Show", number=["2", 0]),
    }
    assert run(prompt, NODES).executed == ["2", "3"]


@st.composite
def graphs(draw):
    count = draw(st.integers(2, 12))
    prompt = {}
    for i in range(count):
        inputs: dict = {"value": draw(st.integers(0, 3))}
        for name in draw(st.sets(st.sampled_from("ab"))) if i else ():
            inputs[name] = [str(draw(st.integers(0, i - 1))), 0]
        prompt[str(i)] = node("Number", **inputs)
    for j in range(draw(st.integers(1, 3))):
        source = str(draw(st.integers(0, count - 1)))
        prompt[f"{count + j}"] = node("Show", number=[source, 0], label=str(j))
    return prompt


@pytest.mark.slow
@given(graphs(), st.randoms(use_true_random=False))
def test_order_and_result_never_depend_on_the_order_of_the_dictionary(prompt, shuffler):
    ids = list(prompt)
    shuffler.shuffle(ids)
    mixed = {}
    for node_id in ids:
        names = list(prompt[node_id]["inputs"])
        shuffler.shuffle(names)
        inputs = {name: prompt[node_id]["inputs"][name] for name in names}
        mixed[node_id] = {"inputs": inputs, "class_type": prompt[node_id]["class_type"]}
    plain, other = run(prompt, NODES), run(mixed, NODES)
    assert plain == other
    assert list(plain.ui) == list(other.ui)


@pytest.mark.slow
@given(graphs())
def test_inputs_run_before_the_nodes_that_take_them(prompt):
    result = run(prompt, NODES)
    done: list[str] = []

    def note(event):
        if event.kind in ("done", "cached"):
            for value in prompt[event.node_id]["inputs"].values():
                assert event.kind == "cached" or not isinstance(value, list) or value[0] in done
            done.append(event.node_id)

    run(prompt, NODES, on_event=note)
    assert sorted(done) == sorted(result.executed + result.cached)


@pytest.mark.slow
def test_a_chain_longer_than_the_recursion_limit_runs():
    prompt = {"0": node("Number", value=1)}
    for i in range(1, 3000):
        prompt[str(i)] = node("Number", value=1, a=[str(i - 1), 0])
    prompt["end"] = node("Show", number=["2999", 0])
    assert texts(run(prompt, NODES)) == {"end": ["none:3000"]}


def test_equal_nodes_run_once_and_an_own_id_makes_them_different():
    class Named(Number):
        FUNCTION = "name"
        INPUT_TYPES = classmethod(lambda cls: {"hidden": {"me": "UNIQUE_ID"}})

        def name(self, me):
            return (f"node {me}",)

    prompt = {
        "1": node("Number", value=1),
        "2": node("Number", value=1.0),
        "3": node("Show", number=["1", 0], label="x"),
        "4": node("Show", number=["2", 0], label="y"),
        "5": node("Named"),
        "6": node("Show", number=["5", 0]),
        "7": node("Named"),
        "8": node("Show", number=["7", 0]),
    }
    result = run(prompt, NODES | {"Named": Named})
    assert result.cached == ["2"]
    assert texts(result) == {
        "3": ["x:1"],
        "4": ["y:1"],
        "6": ["none:node 5"],
        "8": ["none:node 7"],
    }


def test_hidden_inputs_arrive_and_unlinked_optional_ones_do_not():
    class Curious(Show):
        INPUT_TYPES = classmethod(
            lambda cls: {
                "optional": {"number": ("NUMBER",), "label": ("STRING", {"default": "unused"})},
                "hidden": {
                    "prompt": "PROMPT",
                    "info": "EXTRA_PNGINFO",
                    "me": "UNIQUE_ID",
                    "graph": "DYNPROMPT",
                },
            }
        )

        FUNCTION = "look"

        def look(self, prompt, info, me, graph, **others):
            assert graph.get_node(me) is prompt[me]
            return {"ui": {"text": [(list(prompt), info, me, others)]}}

    result = run({"7": node("Curious")}, {"Curious": Curious}, extra_pnginfo={"workflow": {}})
    assert texts(result) == {"7": [(["7"], {"workflow": {}}, "7", {})]}


class Spread:
    INPUT_TYPES = classmethod(lambda cls: {"required": {"count": ("INT", {})}})
    RETURN_TYPES = ("NUMBER", "NUMBER")
    OUTPUT_IS_LIST = (True, False)
    FUNCTION = "spread"

    def spread(self, count):
        return (list(range(count)), [7, 8])


class Gather:
    INPUT_TYPES = classmethod(lambda cls: {"required": {"numbers": ("NUMBER",), "by": ("INT", {})}})
    INPUT_IS_LIST = True
    RETURN_TYPES = ("NUMBER",)
    FUNCTION = "gather"

    def gather(self, numbers, by):
        return (sum(numbers) * by[0],)


def test_a_list_output_is_spread_over_calls_and_the_shorter_input_repeats_its_last():
    prompt = {
        "1": node("Spread", count=3),
        "2": node("Spread", count=2),
        "3": node("Number", value=10, a=["1", 0], b=["2", 0]),
        "4": node("Show", number=["3", 0]),
        "5": node("Gather", numbers=["3", 0], by=100),
        "6": node("Show", number=["5", 0]),
        "7": node("Show", number=["1", 1]),
    }
    result = run(prompt, NODES | {"Spread": Spread, "Gather": Gather})
    assert texts(result) == {
        "4": ["none:10", "none:12", "none:13"],
        "6": ["none:3500"],
        "7": ["none:[7, 8]"],
    }


def test_an_empty_list_calls_nobody():
    prompt = {"1": node("Spread", count=0), "2": node("Show", number=["1", 0])}
    result = run(prompt, NODES | {"Spread": Spread})
    assert (result.executed, result.ui) == (["1", "2"], {})


def test_a_wrapped_list_is_one_value():
    class Words(Show):
        INPUT_TYPES = classmethod(
            lambda cls: {"required": {"words": ("COMBO", {"options": ["a"], "multiselect": True})}}
        )

        FUNCTION = "look"

        def look(self, words):
            return {"ui": {"text": [words]}}

    prompt = {"1": node("Words", words={"__value__": ["a", "a"]})}
    assert texts(run(prompt, {"Words": Words})) == {"1": [["a", "a"]]}


class Gate:
    INPUT_TYPES = classmethod(lambda cls: {"required": {"message": ("STRING", {})}})
    RETURN_TYPES = ("NUMBER",)
    FUNCTION = "say"

    def say(self, message):
        return (ExecutionBlocker(message or None),)


@pytest.mark.parametrize("message", ["", "too large: use video"])
def test_a_blocked_output_stops_its_consumers_only(message):
    prompt = {
        "1": node("Gate", message=message),
        "2": node("Number", value=1, a=["1", 0]),
        "3": node("Show", number=["2", 0]),
        "4": node("Number", value=2),
        "5": node("Show", number=["4", 0]),
    }
    cache = ResultCache()
    for _ in range(2):
        result = run(prompt, NODES | {"Gate": Gate}, cache=cache)
        assert texts(result) == {"5": ["none:2"]}
        assert result.blocked == ({"2": message} if message else {})


class Watched(Number):
    fingerprint: object = 1
    calls = 0

    @classmethod
    def IS_CHANGED(cls, value, a=0, b=0):
        assert a in (0, None)
        return cls.fingerprint

    def add(self, value, a=0, b=0):
        type(self).calls += 1
        return (value + a,)


def test_a_kept_result_is_used_until_constant_fingerprint_or_ancestor_changes():
    class Node(Watched):
        pass

    def prompt(value=1, below=5):
        return {
            "1": node("Number", value=value),
            "2": node("Node", value=below, a=["1", 0]),
            "3": node("Show", number=["2", 0]),
        }

    nodes = NODES | {"Node": Node}
    cache = ResultCache()
    assert run(prompt(), nodes, cache=cache).executed == ["1", "2", "3"]
    again = run(prompt(), nodes, cache=cache)
    assert (again.executed, again.cached) == ([], ["3"])
    assert texts(again) == {"3": ["none:6"]}
    assert run(prompt(below=6), nodes, cache=cache).executed == ["2", "3"]
    assert run(prompt(value=2, below=6), nodes, cache=cache).executed == ["1", "2", "3"]
    Node.fingerprint = 2
    assert run(prompt(value=2, below=6), nodes, cache=cache).executed == ["2", "3"]
    Node.fingerprint = float("nan")
    for _ in range(2):
        assert run(prompt(value=2, below=6), nodes, cache=cache).executed == ["2", "3"]
    assert len(cache) == 3


def test_a_fingerprint_that_fails_counts_as_changed(caplog):
    class Node(Watched):
        @classmethod
        def IS_CHANGED(cls, value, a=0, b=0):
            raise OSError("gone")

    prompt = {"1": node("Node", value=1), "2": node("Show", number=["1", 0])}
    cache = ResultCache()
    for _ in range(2):
        assert run(prompt, NODES | {"Node": Node}, cache=cache).executed == ["1", "2"]


def test_a_result_is_let_go_when_nothing_waits_for_it():
    alive: list[int] = []
    made: list[weakref.ref] = []

    class Make(Number):
        def add(self, value, a=None, b=None):
            alive.append(sum(ref() is not None for ref in made))
            made.append(weakref.ref(thing := Value(value)))
            return (thing,)

    prompt = {"0": node("Make", value=0)}
    for i in range(1, 8):
        prompt[str(i)] = node("Make", value=i, a=[str(i - 1), 0])
    prompt["9"] = node("Show", number=["7", 0])
    run(prompt, NODES | {"Make": Make})
    assert max(alive) == 1


class Switch:
    INPUT_TYPES = classmethod(
        lambda cls: {
            "required": {
                "left": ("NUMBER", {"lazy": True}),
                "right": ("NUMBER", {"lazy": True}),
                "use_left": ("BOOLEAN", {}),
            }
        }
    )
    RETURN_TYPES = ("NUMBER",)
    FUNCTION = "choose"

    def check_lazy_status(self, left, right, use_left):
        return ["left"] if use_left else ["right"]

    def choose(self, left, right, use_left):
        assert (right if use_left else left) is None
        return (left if use_left else right,)


@pytest.mark.parametrize(("use_left", "ran"), [(True, "1"), (False, "2")])
def test_a_lazy_input_runs_only_when_asked_for(use_left, ran):
    prompt = {
        "1": node("Number", value=1),
        "2": node("Number", value=2),
        "3": node("Switch", left=["1", 0], right=["2", 0], use_left=use_left),
        "4": node("Show", number=["3", 0]),
    }
    result = run(prompt, NODES | {"Switch": Switch})
    assert result.executed == [ran, "3", "4"]
    assert texts(result) == {"4": [f"none:{ran}"]}


def test_a_blocked_input_asks_for_no_lazy_one():
    prompt = {
        "1": node("Number", value=1),
        "2": node("Gate", message="no lips"),
        "3": node("Switch", left=["1", 0], use_left=["2", 0]),
        "4": node("Show", number=["3", 0]),
    }

    class Either(Switch):
        INPUT_TYPES = classmethod(
            lambda cls: {
                "required": {"use_left": ("NUMBER", {})},
                "optional": {"left": ("NUMBER", {"lazy": True})},
            }
        )

    result = run(prompt, NODES | {"Switch": Either, "Gate": Gate})
    assert (result.executed, result.blocked) == (["2", "3", "4"], {"3": "no lips"})


@pytest.mark.parametrize(
    ("error", "kind", "sentence"),
    [
        (MediaError("no sound in it."), MediaError, r'^Node 1 "Mine" \(Bad\): no sound in it\.$'),
        (ValueError("crf 99"), GraphError, r'^Node 1 "Mine" \(Bad\): crf 99$'),
        (KeyError("x"), GraphError, r'^Node 1 "Mine" \(Bad\): KeyError: '),
        (Cancelled("stopped"), Cancelled, "^stopped$"),
        (KeyboardInterrupt("key"), KeyboardInterrupt, "key"),
    ],
)
def test_an_error_names_its_node_and_a_cancel_passes_through(error, kind, sentence):
    class Bad(Show):
        def show(self, number, label="fresh"):
            raise error

    prompt = {
        "0": node("Number", value=1),
        "1": {"class_type": "Bad", "inputs": {"number": ["0", 0]}, "_meta": {"title": "Mine"}},
    }
    with pytest.raises(kind, match=sentence):
        run(prompt, NODES | {"Bad": Bad})


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [((1, 2), "returned 2 results, expected 1"), ({"expand": {}}, "expands the graph")],
)
def test_an_answer_of_the_wrong_form_names_the_node(answer, sentence):
    class Odd(Number):
        def add(self, value, a=0, b=0):
            return answer

    prompt = {"1": node("Odd", value=1), "2": node("Show", number=["1", 0])}
    with pytest.raises(GraphError, match=r"Node 1 \(Odd\) .*" + sentence):
        run(prompt, NODES | {"Odd": Odd})


def test_events_count_up_to_the_total_and_may_end_the_run():
    prompt = {"1": node("Number", value=1), "2": node("Show", number=["1", 0])}
    seen = []
    run(prompt, NODES, on_event=seen.append)
    assert seen[-1].ui == {"text": ["none:1"]}
    assert [(e.kind, e.node_id, e.finished, e.total) for e in seen] == [
        ("start", "1", 0, 2),
        ("done", "1", 1, 2),
        ("start", "2", 1, 2),
        ("done", "2", 2, 2),
    ]

    def stop(event):
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        run(prompt, NODES, on_event=stop)


def test_results_of_output_nodes_are_returned():
    class Save(Number):
        OUTPUT_NODE = True

    prompt = {"1": node("Save", value=9)}
    assert run(prompt, {"Save": Save}).outputs == {"1": [[9]]}
