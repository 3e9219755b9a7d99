"""From files to records, and from records to batches."""

from keras_localize.datasets.coco import read_coco
from keras_localize.datasets.csv import read_csv
from keras_localize.datasets.dataset import LocalizationDataset
from keras_localize.datasets.download import DownloadError
from keras_localize.datasets.epoch_order import EpochOrder
from keras_localize.datasets.errors import AnnotationError, UnknownNameError
from keras_localize.datasets.labelme import read_labelme
from keras_localize.datasets.negatives import with_hard_negatives
from keras_localize.datasets.oxford_pets import load_oxford_pets
from keras_localize.datasets.record import Record
from keras_localize.datasets.summary import Summary
from keras_localize.datasets.synthetic import make_synthetic
from keras_localize.datasets.voc import read_voc
from keras_localize.datasets.writing.coco import write_coco
from keras_localize.datasets.writing.csv import write_csv
from keras_localize.datasets.writing.yolo import write_yolo
from keras_localize.datasets.yolo import read_yolo

__all__ = [
    "AnnotationError",
    "DownloadError",
    "EpochOrder",
    "LocalizationDataset",
    "Record",
    "Summary",
    "UnknownNameError",
    "load_oxford_pets",
    "make_synthetic",
    "read_coco",
    "read_csv",
    "read_labelme",
    "read_voc",
    "read_yolo",
    "with_hard_negatives",
    "write_coco",
    "write_csv",
    "write_yolo",
]
