"""Keras with callbacks that write files."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np

BATCH_SIZE = 16
EPOCHS = 4
LEARNING_RATE = 0.01

keras.utils.set_random_seed(1)
x = np.random.normal(size=(128, 4))
y = (x.sum(axis=1) > 0).astype("int32")
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(1, activation="sigmoid")])
model.compile(optimizer=keras.optimizers.Adam(LEARNING_RATE), loss="binary_crossentropy", metrics=["accuracy"])
history = model.fit(
    x,
    y,
    batch_size=BATCH_SIZE,
    epochs=EPOCHS,
    validation_split=0.25,
    verbose=2,
    callbacks=[
        keras.callbacks.CSVLogger("training.csv"),
        keras.callbacks.EarlyStopping(patience=3),
        keras.callbacks.ModelCheckpoint("best.keras", save_best_only=True),
    ],
)
score = model.evaluate(x, y, verbose=0)
print("Test loss:", score[0])
print("Test accuracy:", score[1])
