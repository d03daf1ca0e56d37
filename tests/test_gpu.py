"""Graphics processors from outside: which is chosen, what is said where there is none, and how they end.

What they compute is held against the other devices by test_gpu_models.py and by the core's own tests.
"""

import json
import logging
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import commands
import numpy as np
import pytest
from helpers import need_gpu

import seqrs
from seqrs import _machine, exceptions, gpu, nn

# A Vulkan loader that finds no driver: old ones know only the second name.
NO_DRIVER = {"VK_DRIVER_FILES": "/nowhere.json", "VK_ICD_FILENAMES": "/nowhere.json"}


def python(code: str, *, timeout: float = 120, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def error_of(code: str, **environment: str) -> str:
    """The exception that a program ends with, as Python prints it."""
    run = python(code, **environment)
    assert run.returncode == 1, run.stdout + run.stderr
    return run.stderr.splitlines()[-1]


@pytest.fixture
def adapter() -> gpu.Adapter:
    need_gpu()
    chosen = gpu.info().chosen
    assert chosen is not None
    return chosen


def test_without_a_driver_everything_says_so() -> None:
    code = """
        import seqrs
        print(seqrs.gpu.is_available(), seqrs.gpu.info().adapters)
        print(seqrs.gpu.info())
        print(seqrs.nn.LSTM(3, 512, device="auto").network.device)
        seqrs.nn.LSTM(3, 4, device="gpu")
    """
    run = python(code, SEQRS_ALLOW_SOFTWARE_GPU="1", **NO_DRIVER)
    first, second, third = run.stdout.splitlines()
    assert first == "False []"
    assert second.startswith('device="gpu" is none: no graphics adapter was found; install')
    assert third == "cpu"
    last = run.stderr.splitlines()[-1]
    assert last.startswith(
        "seqrs.exceptions.GpuUnavailableError: gpu: no graphics adapter was found; install"
    )
    assert 'use device="cpu"' in last
    # A name finds nothing either.
    code = 'import seqrs; seqrs.nn.LSTM(3, 4, device="gpu:nvidia")'
    assert "GpuUnavailableError: gpu: no graphics adapter was found" in error_of(code, **NO_DRIVER)


def test_software_is_refused_unless_asked_for(adapter: gpu.Adapter) -> None:
    if any(adapter.kind != "software" for adapter in gpu.info().adapters):
        pytest.skip("there is a graphics processor that is none of software")
    code = 'import seqrs; seqrs.nn.LSTM(3, 4, device="gpu")'
    message = error_of(code, SEQRS_ALLOW_SOFTWARE_GPU="0", SEQRS_GPU_ADAPTER="")
    assert "GpuUnavailableError" in message
    assert adapter.name in message
    assert "SEQRS_ALLOW_SOFTWARE_GPU=1" in message
    # By name it is asked for.
    code = f'import seqrs; print(seqrs.nn.LSTM(3, 4, device="gpu:{adapter.name[:5].upper()}").network.device)'
    assert python(code, SEQRS_ALLOW_SOFTWARE_GPU="0").stdout == "gpu\n"
    code = 'import seqrs; print(seqrs.nn.LSTM(3, 4, device="gpu").network.device)'
    named = {"SEQRS_ALLOW_SOFTWARE_GPU": "0", "SEQRS_GPU_ADAPTER": adapter.name[:5]}
    assert python(code, **named).stdout == "gpu\n"


def test_a_wrong_name_is_told_the_right_ones(adapter: gpu.Adapter) -> None:
    with pytest.raises(ValueError, match=r'unknown graphics adapter "voodoo"; known: .*') as caught:
        nn.LSTM(3, 4, device="gpu:voodoo")
    assert adapter.name in str(caught.value)
    code = 'import seqrs; print(seqrs.gpu.info().why); seqrs.nn.LSTM(3, 4, device="gpu")'
    message = error_of(code, SEQRS_GPU_ADAPTER="voodoo")
    assert "ValueError: unknown graphics adapter in SEQRS_GPU_ADAPTER" in message
    with pytest.raises(ValueError, match=r'device: expected "cpu", "gpu", "reference" or "auto", got'):
        nn.LSTM(3, 4, device="gpu:")
    assert "SEQRS_ALLOW_SOFTWARE_GPU: expected 0 or 1, got" in error_of(
        "import seqrs; seqrs.gpu.info()", SEQRS_ALLOW_SOFTWARE_GPU="yes"
    )


def test_info_names_what_is_chosen(adapter: gpu.Adapter, tmp_path: Path) -> None:
    found = gpu.info()
    assert found.chosen in found.adapters
    assert gpu.is_available()
    assert adapter.kind in ("discrete", "integrated", "virtual", "other", "software")
    assert adapter.limits["max_buffer_size"] > 0
    assert bool(adapter.quirks) == (adapter.kind == "software")
    assert str(found).startswith(f'device="gpu" is {adapter.name}: ')
    assert commands.seqrs("gpu", folder=tmp_path).stdout == f"{found}\n"


def test_the_command_works_without_a_driver(tmp_path: Path) -> None:
    run = commands.seqrs("gpu", folder=tmp_path, env=os.environ | NO_DRIVER)
    assert run.stdout.startswith('device="gpu" is none: no graphics adapter was found; install')


@pytest.mark.usefixtures("adapter")
def test_double_precision_and_rounded_products_are_refused_by_name() -> None:
    with pytest.raises(NotImplementedError, match=r'float64 on device="gpu"'):
        nn.LSTM(3, 4, device="gpu", dtype="float64")
    with pytest.raises(NotImplementedError, match=r'rounded numbers on device="gpu"'):
        nn.LSTM(3, 4, device="gpu", dtype="bfloat16")


def test_losses_take_arrays_and_stay_where_these_are() -> None:
    logits, targets = np.zeros((1, 2, 3), np.float32), np.zeros((1, 2), int)
    with pytest.raises(ValueError, match=r"device: expected \"cpu\" or \"reference\", got 'gpu'"):
        seqrs.losses.softmax_cross_entropy(logits, targets, device="gpu")


def test_auto_never_takes_software_and_says_why_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "seqrs")
    _machine._SAID.clear()
    for _ in range(2):
        small = nn.LSTM(3, 4, device="auto")
        assert (small.device, small.network.device) == ("auto", "cpu")
    (record,) = caplog.records
    assert record.name == "seqrs"
    assert re.search(r'device="auto" is "cpu": .* few for a graphics processor', record.message)
    caplog.clear()
    assert nn.LSTM(3, 4, device="auto", dtype="float64").network.device == "cpu"
    assert "float64 is for the processor alone" in caplog.text
    caplog.clear()
    large = nn.RNN(3, 200, device="auto").network.device
    chosen = gpu.info().chosen
    assert large == ("cpu" if chosen is None or chosen.kind == "software" else "gpu")
    assert len(caplog.records) == 1


@pytest.mark.usefixtures("adapter")
def test_the_cap_of_memory_holds() -> None:
    code = """
        import numpy as np
        from seqrs import exceptions, nn
        layer = nn.LSTM(8, 16, device="gpu", seed=0)
        small = layer(np.zeros((2, 3, 8), np.float32))[0]
        try:
            layer(np.zeros((500, 500, 8), np.float32))
        except exceptions.GpuOutOfMemoryError as error:
            print(error)
        # The layer is as it was.
        assert (layer(np.zeros((2, 3, 8), np.float32))[0] == small).all()
    """
    run = python(code, SEQRS_GPU_MAX_BYTES="8000000")
    assert run.returncode == 0, run.stderr
    assert re.search(r"of the 7\.6 MiB of SEQRS_GPU_MAX_BYTES are taken", run.stdout), run.stdout
    assert "reduce" in run.stdout
    code = 'import seqrs; seqrs.nn.LSTM(8, 16, device="gpu")'
    message = error_of(code, SEQRS_GPU_MAX_BYTES="lots")
    assert "SEQRS_GPU_MAX_BYTES: expected a whole number of bytes of at least 1" in message


@pytest.mark.usefixtures("adapter")
def test_segments_give_what_one_piece_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sequences too long for one buffer are cut: here after every third step."""
    rng = np.random.default_rng(0)
    x, dy = (rng.standard_normal((3, 7, width)).astype(np.float32) for width in (4, 10))

    def outcome(device: str) -> dict[str, np.ndarray]:
        layer = nn.LSTM(4, 5, num_layers=2, bidirectional=True, dropout=0.2, device=device, seed=0)
        sgd = seqrs.optim.SGD(layer, lr=0.01, momentum=0.9)
        for _ in range(5):
            y, state, tape = layer.forward(x, lengths=[7, 0, 5], training=True)
            g = layer.backward(tape, dy)
            sgd.step(g)
        weights = {f"stepped {name}": values for name, values in layer.state_dict().items()}
        return {"y": y, "h": state[0], "c": state[1], "x": g.x} | g.params | weights

    on_cpu, whole = outcome("cpu"), outcome("gpu")
    monkeypatch.setenv("SEQRS_GPU_MAX_STEPS", "3")
    cut = outcome("gpu")
    for name, values in cut.items():
        np.testing.assert_allclose(values, whole[name], rtol=1e-4, atol=1e-5, err_msg=name)
        np.testing.assert_allclose(values, on_cpu[name], rtol=1e-4, atol=1e-5, err_msg=name)
    # Sums over steps are added up in another order.
    assert any((values != whole[name]).any() for name, values in cut.items())
    monkeypatch.setenv("SEQRS_GPU_MAX_STEPS", "0")
    with pytest.raises(
        ValueError, match="SEQRS_GPU_MAX_STEPS: expected a whole number of steps of at least 1"
    ):
        nn.LSTM(4, 5, device="gpu")(x)


@pytest.mark.usefixtures("adapter")
def test_reset_gives_everything_back() -> None:
    code = """
        import numpy as np
        import seqrs
        from seqrs import exceptions, nn
        x = np.ones((2, 3, 4), np.float32)
        lost = nn.LSTM(4, 5, device="gpu", seed=0)
        weights, y = lost.state_dict(), lost(x)[0]
        seqrs.gpu.reset()
        for call in (lambda: lost(x), lost.state_dict, lambda: lost.load_state_dict(weights)):
            try:
                call()
            except exceptions.GpuDeviceLostError as error:
                print(error)
        new = nn.LSTM(4, 5, device="gpu", seed=1)
        new.load_state_dict(weights)
        assert (new(x)[0] == y).all()
    """
    run = python(code)
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert len(lines) == 3
    assert all("make the network anew and load its weights" in line for line in lines)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("ending", ["os._exit(0)", "sys.exit(0)"])
@pytest.mark.usefixtures("adapter")
def test_a_forked_process_is_refused_and_ends(ending: str) -> None:
    code = f"""
        import os, sys, warnings
        import numpy as np
        import seqrs
        from seqrs import exceptions, nn
        warnings.simplefilter("ignore")  # that threads are lost
        x = np.ones((2, 3, 4), np.float32)
        layer = nn.LSTM(4, 5, device="gpu", seed=0)
        y = layer(x)[0]
        child = os.fork()
        if child == 0:
            assert not seqrs.gpu.is_available()
            for call in (lambda: layer(x), lambda: nn.LSTM(4, 5, device="gpu")):
                try:
                    call()
                except exceptions.GpuDeviceLostError as error:
                    print(error, flush=True)
            {ending}
        assert os.waitpid(child, 0)[1] == 0
        assert (layer(x)[0] == y).all()
    """
    run = python(code)
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert len(lines) == 2
    assert all("cannot be used after fork; use the 'spawn' start method" in line for line in lines)


@pytest.mark.usefixtures("adapter")
def test_the_interpreter_ends_while_another_thread_computes() -> None:
    code = """
        import threading, time
        import numpy as np
        from seqrs import nn
        layer = nn.LSTM(32, 64, device="gpu", seed=0)
        x = np.ones((8, 50, 32), np.float32)
        layer(x)
        def work():
            while True:
                layer(x)
        threading.Thread(target=work, daemon=True).start()
        time.sleep(0.3)
    """
    run = python(code, timeout=60)
    assert run.returncode == 0, run.stderr
    assert "panicked" not in run.stderr


@pytest.mark.usefixtures("adapter")
def test_threads_take_turns() -> None:
    code = """
        from concurrent.futures import ThreadPoolExecutor
        import numpy as np
        from seqrs import nn
        x = np.random.default_rng(0).standard_normal((3, 7, 4)).astype(np.float32)
        layers = [nn.LSTM(4, 5, device="gpu", seed=seed) for seed in range(3)]
        alone = [layer(x)[0] for layer in layers]
        with ThreadPoolExecutor(6) as pool:
            together = list(pool.map(lambda i: layers[i % 3](x)[0], range(60)))
        assert all((y == alone[i % 3]).all() for i, y in enumerate(together))
    """
    run = python(code)
    assert run.returncode == 0, run.stderr


def test_the_exceptions_are_those_python_has() -> None:
    assert issubclass(exceptions.GpuUnavailableError, RuntimeError)
    assert issubclass(exceptions.GpuOutOfMemoryError, MemoryError)
    assert issubclass(exceptions.GpuDeviceLostError, RuntimeError)
    assert issubclass(exceptions.GpuInternalError, RuntimeError)


def test_the_package_imports_where_there_is_no_loader() -> None:
    """As on a machine without a Vulkan library: the loader is opened at the first use, if ever."""
    code = "import seqrs.nn, sys; print(seqrs.nn.LSTM(3, 4)([[[1.0, 2.0, 3.0]]])[0].shape)"
    run = python(code, VK_LOADER_DRIVERS_DISABLE="*", **NO_DRIVER)
    assert run.stdout == "(1, 1, 4)\n", run.stderr


@pytest.mark.usefixtures("adapter")
def test_the_benchmark_works(tmp_path: Path) -> None:
    script = Path(__file__).parents[1] / "bench" / "gpu.py"
    command = [sys.executable, str(script), "--quick", "--no-tests", "--output", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=250)
    assert run.returncode == 0, run.stderr
    (written,) = tmp_path.glob("gpu-quick-*.json")
    results = json.loads(written.read_text(encoding="utf-8"))
    assert {(row["what"], row["side"]) for row in results["times"]} >= {
        (what, side) for what in ("forward", "training step") for side in ("gpu", "cpu")
    }
    assert "| training step, H 16, B 4, T 6 |" in run.stdout
    assert str(tmp_path) not in written.read_text(encoding="utf-8")
