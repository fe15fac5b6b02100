"""Autologging of statsmodels, with the real one."""

from __future__ import annotations

from pathlib import Path

import pytest

from framework_runs import Project, needs_frameworks, warnings_of

pytestmark = [pytest.mark.frameworks, needs_frameworks]

DATA = """
import warnings
warnings.simplefilter("error")
import numpy as np, pandas as pd
import statsmodels.api as sm, statsmodels.formula.api as smf
rng = np.random.default_rng(0)
frame = pd.DataFrame(rng.normal(size=(300, 3)), columns=["a", "b", "c"])
frame["y"] = 2 * frame.a - frame.b + rng.normal(size=300)
"""


def check(project: Project) -> str:
    """What the script prints, which is the same to the byte under `gitexp run`."""
    bare, launched = project.bare(), project.launched()
    assert bare.code == 0, bare.err
    assert launched == bare
    return bare.out


def test_a_formula(tmp_path: Path) -> None:
    """Model, formula, how good the fit is, its coefficients and its summary."""
    project = Project(
        tmp_path, DATA + "r = smf.ols('y ~ a + b', frame).fit(cov_type='HC1')\nprint(r.rsquared, r.params.a)\n"
    )
    out = check(project)
    run = project.only_run()
    assert warnings_of(run) == ()
    assert {
        "model": "OLS",
        "formula": "y ~ a + b",
        "exog": ["Intercept", "a", "b"],
        "cov_type": "HC1",
    }.items() <= run.params.items()
    rsquared, slope = out.split()
    assert run.metrics["rsquared"] == pytest.approx(float(rsquared))
    assert {"aic", "bic", "llf", "nobs"} <= run.metrics.keys()
    rows = run.artifacts["coefficients.csv"].read().decode().splitlines()
    assert rows[0] == "name,coef,std_err,statistic,p_value"
    assert rows[2].startswith("a,") and float(rows[2].split(",")[1]) == pytest.approx(float(slope))
    assert b"OLS Regression Results" in run.artifacts["model_summary.txt"].read()


def test_several_models_have_keys_of_their_own(tmp_path: Path) -> None:
    """The first has the plain ones; no measure that statsmodels warns of is asked for."""
    script = """
frame["z"] = (frame.y > 0).astype(int)
print(smf.logit("z ~ a", frame).fit(disp=0).llf)
print(smf.glm("z ~ a + c", frame, family=sm.families.Binomial()).fit().deviance)
print(sm.tsa.ARIMA(frame.y, order=(1, 0, 0)).fit().aic)
"""
    project = Project(tmp_path, DATA + script)
    out = check(project)
    run = project.only_run()
    assert warnings_of(run) == ()
    llf, deviance, aic = map(float, out.split())
    assert run.metrics["llf"] == pytest.approx(llf)
    assert run.metrics["GLM.deviance"] == pytest.approx(deviance) and run.params["GLM.family"] == "Binomial"
    assert run.metrics["ARIMA.aic"] == pytest.approx(aic) and run.params["ARIMA.order"] == [1, 0, 0]


def test_a_costly_summary_is_kept_where_it_is_asked_for(tmp_path: Path) -> None:
    """With many observations only the script's own call of `summary()` makes it."""
    script = """
x = rng.normal(size=(30_000, 2))
first = sm.OLS(x[:, 0], x[:, 1:]).fit()
second = sm.OLS(x[:, 1], sm.add_constant(x[:, :1])).fit()
print(len(second.summary().tables))
"""
    project = Project(tmp_path, DATA + script)
    check(project)
    run = project.only_run()
    assert "model_summary.txt" not in run.artifacts
    assert "OLS_2/model_summary.txt" in run.artifacts and "coefficients.csv" in run.artifacts


def test_a_failing_fit_shows_the_same_traceback(tmp_path: Path) -> None:
    """Output and exit code are the bare script's."""
    project = Project(tmp_path, DATA + "smf.ols('y ~ a', frame).fit(method='none such')\n")
    bare, launched = project.bare(), project.launched()
    assert bare.code == 1 and launched == bare
    assert project.only_run().params["model"] == "OLS"


def test_results_pickle_without_gitexp(tmp_path: Path) -> None:
    """A pickled result names nothing of ours."""
    script = "import pickle\nprint(b'gitexp' in pickle.dumps(smf.ols('y ~ a', frame).fit()))\n"
    project = Project(tmp_path, DATA + script)
    out = check(project)
    assert out == "False\n"
