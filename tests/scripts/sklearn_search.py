"""A pipeline, a grid search, a report and a saved model."""

import argparse
from pathlib import Path

import joblib
import numpy as np
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, classification_report, confusion_matrix, f1_score
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--test-size", type=float, default=0.25)
    parser.add_argument("--cv", type=int, default=3)
    parser.add_argument("--n-jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("model.joblib"))
    args = parser.parse_args()
    X, y = load_iris(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=args.test_size, random_state=0)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
    search = GridSearchCV(pipeline, {"logisticregression__C": [0.1, 1, 10]}, cv=args.cv, n_jobs=args.n_jobs, verbose=1)
    search.fit(X_train, y_train)
    print("Best parameters:", search.best_params_)
    print(f"Best CV score: {search.best_score_:.3f}")
    predictions = search.predict(X_test)
    print("Accuracy:", accuracy_score(y_test, predictions))
    print(f"F1 (macro): {f1_score(y_test, predictions, average='macro'):.3f}")
    print(classification_report(y_test, predictions))
    print(confusion_matrix(y_test, predictions))
    print("Feature importances:", np.round(np.abs(search.best_estimator_[-1].coef_).mean(axis=0), 2))
    joblib.dump(search.best_estimator_, args.out)
    print(f"Model saved to {args.out} ({args.out.name})")


if __name__ == "__main__":
    main()
