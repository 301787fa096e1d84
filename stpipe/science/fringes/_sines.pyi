from stpipe.science.arrays import Doubles

def fit_sines(
    x: Doubles,
    y: Doubles,
    weights: Doubles,
    parameters: Doubles,
    hessian: Doubles,
    fixed: bool,
    domain: float,
) -> tuple[int, float, float]: ...
def powers(x: Doubles, y: Doubles, frequencies: Doubles, out: Doubles) -> None: ...
def powers_on_grid(x: Doubles, y: Doubles, first: float, step: float, out: Doubles) -> None: ...
