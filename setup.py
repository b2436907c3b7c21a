"""Compiles the hot path with mypyc, and worker/kernels/, which is C. All else about the package is in setup.cfg.

Where there is no C compiler, or no header files of Python, the package is installed all the same, and runs its sources;
so it does when MINDSPORE_SERVING_COMPILED=0 is in the environment.
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent
sys.path.insert(0, str(ROOT))

from mindspore_serving.compiled import BUILT, KERNELS, LIBRARY, SWITCH, c_sources, digest, file_stem  # noqa: E402

# What a request passes on its way. Not here: what mypyc cannot take (classes that inherit from asyncio's or from
# exceptions, data classes with slots that are generic).
HOT = {
    "cluster": """
        arena batcher board codec costs deadlines direct dispatch_events dispatcher gate lane leases losses members
        messages moments open_requests orphans pace patience purse quarantine refusals registry results scheduler
        session session_events siblings statistics tensors wire_values""",
    "master": """
        client_memory direct_line error_status front_desk grpc_head grpc_messages http_watches joined_writes
        known_heads lean_call lean_connection listeners memory_part message_fields message_forms ms_service outlook
        patient_selector predict promise region_table reply_forms request_forms rest_body rest_calls rest_json
        rest_url secure_transport service_table services shared_memory socket_transport tensor_rules v2_calls v2_forms
        v2_grpc v2_infer v2_json v2_memory v2_messages v2_target v2_types waits whole_calls wire_spans wire_tensors
        worker_socket""",
    "master.http2": """
        bodies connection control events frames header_blocks headers limits openings outbox phases responses runs
        streams template""",
    "worker": """
        answer_memory arrays batch_plan batch_sizes bell call_costs direct_door function_stage graph_calls
        handshakes inbox lent_line line link loan lookout model_stage pipeline servable stages straight_calls talks
        watches work_thread""",
}
COMMANDS = {"egg_info", "dist_info", "sdist", "--help", "clean"}  # that compile nothing
NAMES = [f"mindspore_serving.{package}.{module}" for package, modules in HOT.items() for module in modules.split()]


class BuildCompiled(build_ext):
    """Compiles with all cores. Says in the end what the modules were made of: nobody uses them before."""

    def build_extensions(self) -> None:
        compile_in_turn = self.compiler.compile

        def compile_at_once(sources: list[str], *arguments: Any, **named: Any) -> list[str]:
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                made = pool.map(lambda source: compile_in_turn([source], *arguments, **named), sources)
                return [file for files in made for file in files]

        self.compiler.compile = compile_at_once
        super().build_extensions()

    def run(self) -> None:
        made = [Path(self.build_lib, "mindspore_serving", "compiled")]
        if self.inplace:
            made.append(ROOT / "mindspore_serving" / "compiled")
        for folder in made:
            for file in (folder / BUILT, *folder.glob("*.so")):  # what cannot be made again must not stay
                file.unlink(missing_ok=True)
        super().run()
        for folder in made:
            if all(list(folder.glob(f"{file_stem(name)}.*.so")) for name in (LIBRARY, *NAMES)):
                (folder / BUILT).write_text("\n".join([digest(str(ROOT), NAMES), *NAMES, ""]))


def extensions() -> list[Extension]:
    """One for each module, and one that they share; called by what mindspore_serving.compiled looks for."""
    if os.environ.get(SWITCH) == "0" or not COMMANDS.isdisjoint(sys.argv):
        return []
    try:
        from mypyc.build import mypycify
    except ImportError:  # built without isolation
        print("mypyc is not here: the hot path is not compiled", file=sys.stderr)
        return []
    files = [f"{name.replace('.', '/')}.py" for name in NAMES]
    # -O1 makes them as fast as -O2, in half the time.
    try:
        found = mypycify(
            ["--ignore-missing-imports", *files],
            opt_level="1",
            debug_level="0",
            group_name="mindspore_serving",
            multi_file=True,
        )
    except SystemExit as refused:  # by its type checker: other releases of the packages that it looks into
        print(f"the hot path is not compiled: {refused}", file=sys.stderr)
        return []
    found.append(kernels())
    for extension in found:
        extension.name = f"mindspore_serving.compiled.{file_stem(extension.name)}"
        extension.optional = True
    return found


def kernels() -> Extension:
    """Operators that MindSpore calls."""
    files = [os.path.relpath(path, ROOT) for path in c_sources(str(ROOT))]
    return Extension(
        KERNELS,
        sources=[file for file in files if file.endswith(".c")],
        depends=[file for file in files if file.endswith(".h")],
        extra_compile_args=["-O3", "-fno-math-errno", "-fvisibility=hidden", "-pthread"],
        extra_link_args=["-pthread"],
        libraries=["m"],
    )


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildCompiled})
