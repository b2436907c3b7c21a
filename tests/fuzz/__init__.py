"""Fuzzing of every parser that reads what strangers send or people write. `make fuzz` runs all, guided by coverage.

Each fuzz_*.py is a target: SEEDS, and run(data), which raises when the parser does what it must not. test_fuzz.py runs
them for a moment with Hypothesis; drive.py runs one with Atheris; __main__.py runs them all and prints the counts.
networks/ is another tool: random networks, whose rewritten graphs are to give the same numbers.
"""

TARGETS = (
    "fuzz_predict_request",
    "fuzz_rest_body",
    "fuzz_rest_url",
    "fuzz_v2_message",
    "fuzz_v2_body",
    "fuzz_v2_url",
    "fuzz_http2",
    "fuzz_control_frames",
    "fuzz_mindir_file",
    "fuzz_servable_config",
    "fuzz_settings",
)
