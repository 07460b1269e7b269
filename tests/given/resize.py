"""Cases of resizing and sampling (include/kiln/window.h): ONNX's reference evaluator and torch's values."""
import numpy as np
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from given import case, drawn, random

NEAREST, LINEAR, CUBIC = 0, 1, 2
KINDS = ('nearest', 'linear', 'cubic')
RULES = ('half_pixel', 'half_pixel_symmetric', 'pytorch_half_pixel', 'align_corners', 'asymmetric', 'tf_crop_and_resize')
ROUNDING = ('round_prefer_floor', 'round_prefer_ceil', 'floor', 'ceil')
ASPECTS = ('stretch', 'not_larger', 'not_smaller')


def onnx(op, inputs, version=20, **attributes):
    names = ['x%d' % i if x is not None else '' for i, x in enumerate(inputs)]
    given = {n: np.asarray(x) for n, x in zip(names, inputs) if x is not None}
    graph = helper.make_graph([helper.make_node(op, names, ['y'], **attributes)], 'g',
                              [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape) for n, x in given.items()],
                              [helper.make_tensor_value_info('y', TensorProto.FLOAT, None)])
    return ReferenceEvaluator(helper.make_model(graph, opset_imports=[helper.make_opsetid('', version)])).run(None, given)[0]


def resized(x, axes, *, sizes=None, scales=None, kind=NEAREST, rule=0, rounding=0, aspect=0, cubic=-.75, exclude=False, antialias=False, roi=None, extrapolation=0, want=None):
    n = len(axes)
    if want is None:
        want = onnx('Resize', [x.astype('float64'), None if roi is None else np.array(roi, 'float64').T.reshape(-1), None if scales is None else np.array(scales, 'float32'),
                               None if sizes is None else np.array(sizes, 'int64')],
                    axes=axes, mode=KINDS[kind], coordinate_transformation_mode=RULES[rule], nearest_mode=ROUNDING[rounding], keep_aspect_ratio_policy=ASPECTS[aspect],
                    cubic_coeff_a=cubic, exclude_outside=int(exclude), antialias=int(antialias), extrapolation_value=float(extrapolation))
    numbers = (n, *axes, *(sizes or [0] * n), *(np.float32(s) for s in scales or [0] * n), kind, rule, rounding, aspect, cubic, int(exclude), int(antialias), extrapolation,
               *(np.array(roi).reshape(-1) if roi else ()))
    dyadic = not scales or all(float(s * 2**10).is_integer() for s in scales)
    known = 0 in axes and (not dyadic or aspect or antialias or (sizes and kind != NEAREST))  # a symbol cannot stand for the size of axis 0
    case(('resize' if kind == NEAREST else 'resize_smooth') + ('_known' if known else ''), [x], want.astype(x.dtype), *(float(v) if v != int(v) else int(v) for v in numbers))


def t(x):
    return torch.from_numpy(np.ascontiguousarray(x))


image = drawn('float32', 2, 2, 4, 5)
resized(image, [2, 3], scales=[2, 3])
resized(image, [2, 3], sizes=[3, 8])
resized(image, [2, 3], sizes=[3, 8], kind=LINEAR)
resized(image, [3, 2], scales=[.6, 2.5], kind=CUBIC)
# ---- every rule with every kind and rounding, to more and fewer elements; channels last, any axes
x = drawn('float32', 5, 3)
for rule in range(5):
    for scales in ([2.5, .5], [.75, 3]):
        for rounding in range(4):
            resized(x, [0, 1], scales=scales, rule=rule, rounding=rounding)
        for kind in (LINEAR, CUBIC):
            resized(x, [0, 1], scales=scales, rule=rule, kind=kind)
    for sizes in ([1, 7], [8, 1]):
        resized(x, [1, 0], sizes=sizes, rule=rule, kind=LINEAR)
for kind in (NEAREST, LINEAR, CUBIC):
    resized(x, [0, 1], sizes=[4, 6], rule=5, kind=kind, roi=[[.1, .8], [.25, 1]], extrapolation=10)
    resized(x, [0, 1], sizes=[6, 4], rule=5, kind=kind, roi=[[-.5, 1.25], [.5, .5]], extrapolation=-2.5)
    resized(x, [0], sizes=[1], rule=5, kind=kind, roi=[[.2, .9]])
# ---- the cubic's parameter, what lies outside, antialias, aspects
for scales in ([2.25, .6], [.3, 1.5]):
    for exclude in (False, True):
        resized(x, [0, 1], scales=scales, kind=CUBIC, cubic=-.5, exclude=exclude)
        for kind in (LINEAR, CUBIC):
            resized(drawn('float32', 9, 6), [0, 1], scales=scales, kind=kind, exclude=exclude, antialias=True)
for aspect in (1, 2):
    resized(x, [0, 1], sizes=[7, 8], kind=LINEAR, aspect=aspect)
    resized(drawn('float32', 4, 2, 3), [0, 2], sizes=[3, 7], aspect=aspect)
resized(drawn('float32', 2, 4, 3, 2), [1, 2], scales=[2, 2], kind=LINEAR)
resized(drawn('float32', 2, 3, 4), [0, 1, 2], sizes=[3, 5, 2], kind=LINEAR)
# ---- torch's interpolate
image = drawn('float32', 2, 2, 5, 4)
for mode, kind in (('bilinear', LINEAR), ('bicubic', CUBIC)):
    for corners in (False, True):
        want = F.interpolate(t(image), (7, 3), mode=mode, align_corners=corners).numpy()
        resized(image, [2, 3], sizes=[7, 3], kind=kind, rule=3 if corners else 0, want=want)
    want = F.interpolate(t(image), scale_factor=(1.5, 2.25), mode=mode, align_corners=False).numpy()
    resized(image, [2, 3], scales=[1.5, 2.25], kind=kind, want=want)
    large = drawn('float32', 1, 1, 11, 9)
    want = F.interpolate(t(large), (4, 3), mode=mode, antialias=True).numpy()
    resized(large, [2, 3], sizes=[4, 3], kind=kind, antialias=True, exclude=True, cubic=-.5, want=want)
resized(image, [2, 3], sizes=[7, 3], rule=4, rounding=2, want=F.interpolate(t(image), (7, 3), mode='nearest').numpy())
resized(image, [2, 3], sizes=[7, 3], rule=0, rounding=1, want=F.interpolate(t(image), (7, 3), mode='nearest-exact').numpy())
line = drawn('float32', 2, 3, 6)
resized(line, [2], scales=[2], kind=LINEAR, want=F.interpolate(t(line), scale_factor=2, mode='linear').numpy())
box = drawn('float32', 1, 2, 3, 4, 2)
resized(box, [2, 3, 4], sizes=[4, 6, 5], kind=LINEAR, want=F.interpolate(t(box), (4, 6, 5), mode='trilinear').numpy())
# ---- dtypes, repeats and strides, nothing
for dtype in ('float64', 'float16', 'int32', 'uint8', 'bool', 'int64'):
    x = drawn(dtype, 3, 4)
    for scales in ([2, 3], [1, .5]):
        resized(x, [0, 1], scales=scales)
for dtype in ('float64', 'float16'):
    x = drawn(dtype, 3, 4)
    resized(x, [0, 1], scales=[2, .5], kind=LINEAR)
x = drawn('int32', 6, 9)
resized(x, [0, 1], sizes=[2, 3], rule=4, rounding=2)
resized(x, [0, 1], sizes=[12, 3])
resized(x, [0, 1], scales=[1, 1])
resized(x, [0, 1], scales=[.1, 1], want=np.zeros((0, 9)))
x = np.zeros((0, 3), 'float32')
resized(x, [1], scales=[2], kind=LINEAR, want=np.zeros((0, 6)))

# ---- grids
def places(*shape, far=1.4, dtype='float32'):
    return random.uniform(-far, far, shape).round(3).astype(dtype)


MODES = ('nearest', 'bilinear', 'bicubic')
BORDERS = ('zeros', 'border', 'reflection')
for kind in range(3):
    for border in range(3):
        for corners in (0, 1):
            x, grid = drawn('float32', 2, 2, 3, 4), places(2, 2, 3, 2)
            y = F.grid_sample(t(x), t(grid), MODES[kind], BORDERS[border], bool(corners)).numpy()
            name = 'sample_nearest' if kind == 0 else 'sample_cubic' if kind == 2 else 'sample'
            case(name, [x, grid], y, kind, border, corners, 1)
            case(name, [np.moveaxis(x, 1, -1), grid], np.moveaxis(y, 1, -1), kind, border, corners, 0)
            x, grid = drawn('float32', 1, 2, 3, 4, 2), places(1, 2, 1, 3, 3, far=2.6)
            if kind < 2:
                y = F.grid_sample(t(x), t(grid), MODES[kind], BORDERS[border], bool(corners)).numpy()
                case(name, [x, grid], y, kind, border, corners, 1)
                case(name, [np.moveaxis(x, 1, -1), grid], np.moveaxis(y, 1, -1), kind, border, corners, 0)
x, grid = drawn('float32', 2, 3, 5), places(2, 4, 1)
y = F.grid_sample(t(x)[:, :, None], torch.cat([t(grid), torch.zeros(2, 4, 1)], 2)[:, None], align_corners=False).numpy()
case('sample', [x, grid], y[:, :, 0], 1, 0, 0, 1)
x, grid = drawn('float64', 1, 2, 3, 4), places(1, 2, 3, 2, dtype='float64')
case('sample', [x, grid], F.grid_sample(t(x), t(grid), align_corners=False).numpy(), 1, 0, 0, 1)
x, grid = np.full((1, 1, 2, 2), np.inf, 'float32'), np.array([[[[-3, 0], [.1, -.2], [0, 5]]]], 'float32')
case('sample', [x, grid], np.array([[[[0, np.inf, 0]]]], 'float32'), 1, 0, 0, 1)
case('sample', [np.ones((1, 1, 1, 1), 'float32'), places(1, 2, 2, 2, far=5)], np.ones((1, 1, 2, 2), 'float32'), 1, 2, 1, 1)
case('sample', [np.zeros((0, 1, 2, 2), 'float32'), np.zeros((0, 3, 1, 2), 'float32')], np.zeros((0, 1, 3, 1), 'float32'), 1, 0, 0, 1)
for corners in (0, 1):
    theta = drawn('float32', 2, 2, 3)
    case('affine', [theta], F.affine_grid(t(theta), (2, 1, 3, 4), bool(corners)).numpy(), corners, 2, 3, 4)
    theta = drawn('float32', 1, 3, 4)
    case('affine', [theta], F.affine_grid(t(theta), (1, 1, 3, 1, 2), bool(corners)).numpy(), corners, 3, 3, 1, 2)
theta = drawn('float64', 2, 2, 3)
case('affine', [theta], F.affine_grid(t(theta), (2, 1, 2, 2), False).numpy(), 0, 2, 2, 2)


# ---- regions
def regions(r, high, wide):
    a = random.uniform(-.5, 1, (r, 2)) * [wide, high]
    return np.concatenate([a, a + random.uniform(.05, .9, (r, 2)) * [wide, high]], 1).round(2).astype('float32')


for half in (1, 0):
    for samples, scale in ((2, 1), (0, 1), (3, .5), (0, .75)):
        for mode in ('avg', 'max'):
            x, images = drawn('float32', 2, 2, 6, 5), np.array([0, 1, 1], 'int64')
            rois = regions(3, 6 / scale, 5 / scale)
            y = onnx('RoiAlign', [x.astype('float64'), rois.astype('float64'), images], version=16, coordinate_transformation_mode='half_pixel' if half else 'output_half_pixel', mode=mode,
                     output_height=2, output_width=3, sampling_ratio=samples, spatial_scale=float(scale)).astype('float32')
            name = 'regions_largest' if mode == 'max' else 'regions'
            case(name, [x, rois, images], y, 2, 3, scale, samples, 0, half, 1)
            case(name, [np.moveaxis(x, 1, -1), rois, images], np.moveaxis(y, 1, -1), 2, 3, scale, samples, 4, half, 0)
