"""A data set that counts the threads of the process that reads it."""

import os

import cv2
import numpy as np

from samref.datasets.folder.folder import Folder


class Counting(Folder):
    """Notes how many threads its process has once numpy and OpenCV have worked."""

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        many = np.ones((600, 600), np.float32)
        cv2.GaussianBlur(many @ many, (9, 9), 2)
        (self.masks / f".threads{index}").write_text(str(len(os.listdir("/proc/self/task"))))
        return sample
