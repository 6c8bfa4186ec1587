"""Logits of a published model, without mmseg_ssl.

``predict_published.py NAME.pth|NAME.onnx IMAGES... --out LOGITS.npz``

A checkpoint needs mmsegmentation and what that needs, ONNX only onnxruntime,
OpenCV and NumPy. Each image is an array (C, H, W) of the file, in their order.
"""
import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

sys.modules['mmseg_ssl'] = None  # an import of it fails, also where it exists


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Logits of a model')
    parser.add_argument('model', type=Path)
    parser.add_argument('images', type=Path, nargs='+')
    parser.add_argument('--out', type=Path, required=True)
    return parser.parse_args()


def predict_with_mmseg(checkpoint: Path, images: list[Path]) -> list:
    from mmseg.apis import inference_model, init_model
    model = init_model(str(checkpoint.with_suffix('.py')), str(checkpoint),
                       device='cpu')
    return [inference_model(model, str(path)).seg_logits.data.numpy()
            for path in images]


def predict_with_onnx(file: Path, images: list[Path]) -> list:
    import onnxruntime
    session = onnxruntime.InferenceSession(
        file, providers=['CPUExecutionProvider'])
    _, _, height, width = session.get_inputs()[0].shape
    logits = []
    for path in images:
        image = cv2.resize(cv2.imread(str(path)), (width, height))[..., ::-1]
        batch = image.transpose(2, 0, 1)[None].astype(np.float32)
        logits.append(session.run(None, {'images': batch})[0][0])
    return logits


def main() -> None:
    args = parse_args()
    predict = (predict_with_onnx if args.model.suffix == '.onnx'
               else predict_with_mmseg)
    logits = predict(args.model, args.images)
    np.savez(args.out, *logits)


if __name__ == '__main__':
    main()
