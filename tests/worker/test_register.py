"""The authoring API: what it refuses, in which words, and where."""

import numpy as np
import pytest

from mindspore_serving.cluster.errors import ServableError
from mindspore_serving.cluster.tensors import Tensor, to_column
from mindspore_serving.worker import register
from mindspore_serving.worker.device_context import context_of
from tests.worker.conftest import Workshop, run

MODEL = 'model = register.declare_model("model.mindir", "MindIR")\n'
METHOD = "@register.register_method(output_names=['y'])\n"
OLD = "import numpy as np\nregister.declare_servable('model.mindir', 'MindIR', False)\n" + METHOD


def one(line: str, parameters: str = "x") -> str:
    return f"{MODEL}def f(x): return x\ndef g(x, y): return x\n{METHOD}def m({parameters}):\n    {line}\n"


REFUSALS = [
    ("", "There is no method registered for servable mine: put @register.register_method"),
    (
        one("return x * 2"),
        "the values in a method are placeholders: compute in a function, and add that with add_stage",
    ),
    (one("return x if x else x"), "a _TensorDef is neither true nor false (the values in a method are placeholders"),
    (one("a, b = register.add_stage(f, x, outputs_count=1)"), "cannot unpack non-iterable _TensorDef object"),
    (MODEL + MODEL, "model file 'model.mindir' has already been used"),
    ("register.declare_model('m', 'ONNX')", "model format can only be OM, MindIR or MindIR_Lite, case ignored"),
    ("register.declare_model('m', 'OM')", "format OM is made for another backend"),
    ("register.declare_model(5, 'MindIR')", "Parameter 'model_file' should be str or tuple/list of str"),
    ("register.declare_model('', 'MindIR')", "Parameter 'model_file' should not be empty str"),
    (
        one(
            "register.add_stage(model, x, x, outputs_count=1)\n    return register.add_stage(model, x, outputs_count=1)"
        ),
        "RegisterInputOutputInfo failed, inputs count 1 not match old count 2",
    ),
    ("register.declare_model(['a', 'a'], 'MindIR')", "model file 'a' has already been used"),
    ("register.declare_model('a', 'MindIR', config_file='c')", "config_file 'c' is for the Lite backend"),
    ("register.declare_model('a', 'MindIR', context=3)", "Parameter 'context' should be Context"),
    (
        "register.declare_model('a', 'MindIR', options=3)",
        "Parameter 'options' should be AclOptions, GpuOptions",
    ),
    (
        "register.declare_model('a', 'MindIR', options={'nope': '1'})",
        "Set ascend device info failed, unsupported",
    ),
    ("register.Context(thread_num=0)", "Parameter 'thread_num' should be >= 1"),
    ("register.Context(thread_affinity_core_list=3)", "Parameter 'thread_affinity_core_list' should be tuple/list"),
    ("register.Context(enable_parallel=1)", "Parameter 'enable_parallel' should be bool"),
    (
        "c = register.Context()\nfor _ in range(2): c.append_device_info(register.AscendDeviceInfo())",
        "Device info of type ascend has already been appended",
    ),
    ("register.Context().append_device_info(3)", "Parameter 'device_info' should be instance of AscendDeviceInfo"),
    ("register.GPUDeviceInfo(nope='1')", "Set gpu device info failed, unsupported option nope"),
    (
        "register.GPUDeviceInfo(precision_mode='8bit')",
        "Gpu device info 'precision_mode' can only be 'origin', 'fp16'",
    ),
    ("register.GpuOptions(precision_mode='origi')", "Gpu device info 'precision_mode' can only be 'origin', 'fp16'"),
    ("register.GpuOptions(nope='1')", "Set gpu device info failed, unsupported option nope"),
    ("register.CPUDeviceInfo(precision_mode='8bit')", "Cpu device info 'precision_mode' can only be"),
    ("register.AscendDeviceInfo(precision_mode='8bit')", "Ascend device info 'precision_mode' can only be"),
    ("register.declare_model('m', 'MindIR', 1)", "Parameter 'with_batch_dim' should be bool"),
    (
        "register.declare_model('m', 'MindIR', without_batch_dim_inputs=-1)",
        "The item value '-1' in parameter 'without_batch_dim_inputs' should be >= 0",
    ),
    ("register.declare_model('m', 'MindIR', without_batch_dim_inputs=[1, 1])", "should not be repeated"),
    ("register.declare_model('m', 'MindIR', without_batch_dim_inputs='1')", "should be int or tuple/list of int"),
    ("register.register_method(output_names=5)", "Parameter 'output_names' should be str or tuple/list of str"),
    ("register.register_method(output_names=['y', 'y'])", "should not be repeated"),
    (f"{METHOD}async def m(x): return x", "method m is an 'async def': write it as a plain 'def'"),
    (
        one("return register.add_stage(h, x, outputs_count=1)").replace("def g", "async def h(x): return x\ndef g"),
        "function h is an 'async def': write it as a plain 'def'",
    ),
    (f"{METHOD}def m(*x): return x", "'m' input x cannot be VAR_POSITIONAL !"),
    (f"{METHOD}def m(x): return x\n{METHOD}def m(x): return x", "Method m has been registered more than once."),
    (f"{METHOD}def m(x): return x, x", "Method return output size 2 not match registered 1"),
    (
        f"{METHOD}def m(x): return 5",
        "Each value returned is a placeholder for data and must come from the method inputs",
    ),
    (one("return register.add_stage(f, 5, outputs_count=1)"), "Each value of parameter *args is a placeholder"),
    (
        one("return register.add_stage(f, x, x, outputs_count=1)"),
        "function f input args count 1 not match the count 2 registered in method",
    ),
    (
        one("return register.add_stage(g, x, x, outputs_count=1, batch_size=2)"),
        "function g input args count 2 not match the count 1 registered in method",
    ),
    (one("return register.add_stage('argmax_cpp', x, outputs_count=1)"), "built-in functions do not exist here"),
    (one("return register.add_stage(5, x, outputs_count=1)"), "Parameter 'stage' should be a function or a model"),
    (one("return register.add_stage(f, x, outputs_count=0)"), "Parameter 'outputs_count' should be >= 1"),
    (one("return register.add_stage(f, x, outputs_count=1, batch_size=-1)"), "Parameter 'batch_size' should be >= 0"),
    (one("return register.add_stage(f, x, outputs_count=1, tag='')"), "Parameter 'tag' should not be empty str"),
    (
        one(
            "y = register.add_stage(f, x, outputs_count=1)\n"
            "    return register.add_stage(f, y, outputs_count=1, batch_size=2)"
        ),
        "should be enabled or disabled consistently",
    ),
    (
        one("y, z = register.add_stage(f, x, outputs_count=2)\n    return register.add_stage(f, y, outputs_count=1)"),
        "Stage function 'mine.f' outputs count 1 not match last registered count 2",
    ),
    (
        f"{METHOD}def m(x):\n    y = register.call_servable(x)\n    return y",
        "RegisterInputOutputInfo failed, cannot find servable mine: There is no model declared",
    ),
    (
        one("y = register.call_servable(x)\n    return y").replace(MODEL, MODEL + MODEL.replace("model.m", "b.m")),
        "There are more than one servable declared when the interface 'call_servable' is used",
    ),
    (one("y = register.call_preprocess(f, x)\n    return y"), "Not find the invoke of 'call_servable'"),
    (
        one("y = register.call_servable(x, x)\n    y = register.call_servable(y, y)\n    return y"),
        "call_servable should not be invoked more than once",
    ),
    (
        one("y = register.call_servable(x, x)\n    y = register.call_preprocess(f, y)\n    return y"),
        "call_servable should be invoked after call_preprocess",
    ),
    (
        one("if True:\n        y = register.call_servable(x, x)\n    return y"),
        "complex statements such as conditions and loops are not supported",
    ),
    (
        one("y = register.call_servable(x, x)\n    return register.add_stage(f, y, outputs_count=1)"),
        "add_stage and call_servable cannot be used together",
    ),
    (
        one("y = register.add_stage(f, x, outputs_count=1)\n    y = register.call_servable(y, y)\n    return y"),
        "add_stage and call_servable cannot be used together",
    ),
    ("register.add_stage(print, outputs_count=1)", "add_stage should be called inside a function decorated with"),
]


@pytest.mark.parametrize("config, text", REFUSALS)
def test_a_mistake_is_refused_with_its_line(workshop: Workshop, config: str, text: str) -> None:
    place = workshop.write("")
    (place / "servable_config.py").write_text("from mindspore_serving.server import register\n" + config)
    with pytest.raises(RuntimeError) as refused:
        workshop.load()
    assert text in str(refused.value)
    assert str(refused.value).startswith(f"import mine.servable_config failed, {place}/servable_config.py")
    assert "\n" not in str(refused.value)


def twice(first: str, second: str, name: str = "m") -> str:
    """Two methods; of a model a function f, which takes instances, and g, which takes two values."""
    head = f"{MODEL}def f(instances): return [(1, 2)]\ndef g(x, y): return x\n"
    return f"{head}{METHOD}def m(x):\n    {first}\n    return x\n{METHOD}def {name}(x):\n    {second}\n    return x\n"


@pytest.mark.parametrize(
    "config, text",
    [
        (
            twice("y = register.call_servable(x, x)\n    x = register.call_preprocess_pipeline(g, x)", ""),
            "call_servable should be invoked after call_preprocess_pipeline",
        ),
        (
            twice(
                "x, y = register.call_preprocess_pipeline(g, x, x)\n    y = register.call_servable(x, y)",
                "x = register.call_preprocess_pipeline(g, x, x)\n    y = register.call_servable(x, x)",
                "n",
            ),
            "Preprocess 'mine.g' outputs count 1 not match last registered count 2",
        ),
        (
            twice(
                "x = register.add_stage(f, x, outputs_count=1, batch_size=1)",
                "x, y = register.add_stage(f, x, outputs_count=2, batch_size=1)",
            ),
            "Stage function 'mine.f' outputs count 2 not match last registered count 1",
        ),
        (
            twice(
                "x = register.add_stage(g, x, x, outputs_count=1)",
                "x = register.add_stage(g, x, x, outputs_count=1, batch_size=4)",
            ),
            "parameter 'batch_size' in multiple 'add_stage' should be enabled or disabled consistently",
        ),
    ],
)
def test_of_two_mistakes_the_one_is_told_that_the_original_told(workshop: Workshop, config: str, text: str) -> None:
    workshop.write(config)
    with pytest.raises(RuntimeError) as refused:
        workshop.load()
    assert text in str(refused.value)


def test_a_context_tells_what_was_set_as_the_original_did() -> None:
    context = register.Context(thread_num=3, thread_affinity_core_list=[2, 1], enable_parallel=True)
    for info in (
        register.GPUDeviceInfo(precision_mode="fp16"),
        register.CPUDeviceInfo(),
        register.AscendDeviceInfo(input_format="ND"),
    ):
        context.append_device_info(info)
    told = context.model_context
    assert (told.thread_num, told.thread_affinity_core_list, told.enable_parallel) == (3, [1, 2], True)
    assert told.device_list == [
        {"device_type": "gpu", "precision_mode": "fp16"},
        {"device_type": "cpu"},
        {"device_type": "ascend", "input_format": "ND"},
    ]
    assert register.GPUDeviceInfo(precision_mode="fp16").context_map == told.device_list[0]
    assert register.AclOptions(input_format="ND").context.model_context.device_list == told.device_list[2:]
    assert register.GpuOptions(enable_trt_infer=True).context.device_list == [{"device_type": "gpu"}]


@pytest.mark.parametrize(
    "code, text",
    [
        ("x = 1\nraise ValueError('first\\nsecond')", ":2: ValueError: first second"),
        ("def broken(:\n", ":1: SyntaxError: "),
        ("raise SystemExit(0)", ":1: SystemExit: 0"),
        ("import no_such_package", ":1: ModuleNotFoundError: No module named 'no_such_package'"),
        ("from mine import helper", "helper.py:1: ZeroDivisionError: division by zero"),
    ],
)
def test_an_exception_of_the_users_code_is_named_with_its_place(workshop: Workshop, code: str, text: str) -> None:
    place = workshop.write("")
    (place / "helper.py").write_text("1 / 0\n")
    (place / "servable_config.py").write_text(code)
    with pytest.raises(ServableError) as refused:
        workshop.load()
    assert text in str(refused.value)


def test_a_context_counts_where_there_are_options_too() -> None:
    """As in 2.0.2, where a servable for several releases gives both."""
    options, context = register.GpuOptions(precision_mode="fp16"), register.Context(thread_num=3)
    assert context_of(options, context) is context
    assert context_of(options, None) is options.context


def test_the_api_outside_of_a_load_says_how_to_use_it() -> None:
    with pytest.raises(RuntimeError, match="python -m worker --servable FOLDER"):
        register.declare_model("m", "MindIR")


def test_methods_of_1_2_unpack_and_run(workshop: Workshop) -> None:
    config = OLD + (
        "def m(a, b):\n    a, b = register.call_preprocess(cast, a, b)\n    y = register.call_servable(a, b)\n"
        "    y = register.call_postprocess_pipeline(text, y)\n    return y\n"
    )
    functions = (
        "def cast(a, b): return a.astype('float32'), b.astype('float32')\n"
        "def text(instances):\n    for (y,) in instances:\n        yield str(y.tolist())\n"
    )
    servable = workshop.make(functions + config, "fixed")
    done = run(servable, "m", 1, ("no number",), ("none",))
    assert done.failures[0].text.startswith("Call Preprocess Failed, method: 'm', stage index(begin with 1): 1")
    assert servable.methods[0].inputs == ("a", "b")


@pytest.mark.parametrize("home", ["server", "worker"])
def test_a_servable_may_import_what_it_does_not_use(workshop: Workshop, home: str) -> None:
    """The tutorial's servable of two subgraphs does so, for one device."""
    workshop.write(f"from mindspore_serving.{home} import distributed\n{METHOD}def m(x): return x\n")
    assert [method.name for method in workshop.load().methods] == ["m"]


@pytest.mark.parametrize("init", ["SCALE = 3", "SCALE = 3\nfrom .servable_config import f"])
def test_a_servable_may_be_a_package(workshop: Workshop, init: str) -> None:
    """The original imports it as one, so that its __init__.py is run."""
    config = """
    from mine import SCALE
    def f(x):
        return x * SCALE
    @register.register_method(output_names=["y"])
    def go(x):
        return register.add_stage(f, x, outputs_count=1)
    """
    place = workshop.write(config)
    (place / "__init__.py").write_text(init + "\n")
    for _ in range(2):
        done = run(workshop.load(), "go", 1, to_column([Tensor("<i8", (), np.int64(5).tobytes())]))
        assert done.columns == (to_column([Tensor("<i8", (), np.int64(15).tobytes())]),)


def test_a_mistake_in_its_init_is_told_with_its_line(workshop: Workshop) -> None:
    place = workshop.write("")
    (place / "__init__.py").write_text("\n1 / 0\n")
    with pytest.raises(ServableError, match=r"mine/__init__\.py:2: ZeroDivisionError: division by zero"):
        workshop.load()


def test_a_config_may_import_its_siblings_and_be_called_like_any_module(workshop: Workshop) -> None:
    for name in ("mine", "json", "numpy", "with-dash"):
        place = workshop.write(
            f"{METHOD}def echo(x): return x\nfrom .part import ANSWER\nassert ANSWER == 42", name=name
        )
        (place / "part.py").write_text("ANSWER = 42\n")
        assert workshop.load(name).methods[0].name == "echo"
    import json

    assert json.loads("1") == 1


def test_two_servables_of_one_name_in_one_process_stay_apart(workshop: Workshop) -> None:
    servables = []
    for answer in ("1", "2"):
        place = workshop.write(
            f"def f(x): return ANSWER\nfrom mine.part import ANSWER\n{METHOD}"
            "def m(x):\n    return register.add_stage(f, x, outputs_count=1)"
        )
        (place / "part.py").write_text(f"ANSWER = '{answer}'\n")
        servables.append(workshop.load())
    assert [run(servable, "m", 1, ("x",)).columns for servable in servables] == [(("1",),), (("2",),)]
