import sys

import numpy as np
import pandas as pd
import statsmodels.formula.api as smf

FORMULA = "wage ~ education + age"
N = 120

rng = np.random.default_rng(3)
frame = pd.DataFrame({"education": rng.integers(8, 20, N), "age": rng.integers(20, 65, N)})
frame["wage"] = 2 * frame.education + 0.1 * frame.age + rng.normal(size=N)
result = smf.ols(FORMULA, data=frame).fit()
print(result.summary())
print("R2:", round(result.rsquared, 4), file=sys.stderr)
with open("report.html", "w") as file:
    file.write(result.params.to_frame("coefficient").to_html())
