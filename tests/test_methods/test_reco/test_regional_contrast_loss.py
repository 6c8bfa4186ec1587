"""RegionalContrastLoss against its paper: Eq. 1-4, sampling, edge cases."""
import importlib.util
import itertools
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from scipy.stats import chisquare
from torch import Tensor

from mmseg_ssl.methods.reco import RegionalContrastLoss
from mmseg_ssl.methods.reco import regional_contrast_loss as module

ROOT = Path(__file__).resolve().parents[3]
spec = importlib.util.spec_from_file_location(
    'reco_reference', ROOT / 'tools/benchmarks/reco_reference.py')
reference = importlib.util.module_from_spec(spec)
spec.loader.exec_module(reference)
ReferenceLoss = reference.ReferenceLoss

IGNORED = 255
QUERY_SAMPLING = ('hard', 'random', 'easy')
KEY_SAMPLING = ('active', 'random')
MODES = list(itertools.product(QUERY_SAMPLING, KEY_SAMPLING))
HALF = (torch.float16, torch.bfloat16)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def own_probability(label: Tensor, own: Tensor, num_classes: int) -> Tensor:
    """(B, C, h, w) where each pixel's own class has the given probability."""
    rest = (1 - own) / (num_classes - 1)
    prob = rest.unsqueeze(1).repeat(1, num_classes, 1, 1)
    known = label.clamp(max=num_classes - 1).unsqueeze(1)
    return prob.scatter(1, known, own.unsqueeze(1))


def scene(num_classes: int = 4, size: int = 12, seed: int = 0,
          dtype: torch.dtype = torch.float64):
    """Unequal classes, each along a direction of its own, and void pixels.

    The rarest class is like the most common one, so the relation graph differs
    from the shares of the classes. Hard pixels are longer than easy ones and
    lie off their class's direction, all to the same side: whoever samples or
    averages otherwise gets another loss, and chance adds little to it.
    """
    rng = seeded(seed)
    share = torch.arange(num_classes, 0, -1, dtype=torch.float64)**2
    shape = (2 * size * size, )
    label = torch.multinomial(share, *shape, replacement=True, generator=rng)
    void = torch.rand(shape, generator=rng) < 0.1
    hard = torch.rand(shape, generator=rng) < 0.4
    own = torch.where(hard, 0.9 * torch.rand(shape, generator=rng), 0.99)

    directions = torch.eye(num_classes, num_classes + 2, dtype=torch.float64)
    directions[-1, 0] = 2.0
    side = torch.tensor([0.6, -0.8], dtype=torch.float64)
    pixels = directions[label]
    pixels[hard, -2:] += side
    pixels[hard] *= 4
    pixels[void] = -3 * pixels.flip(0)[void]
    noise = torch.randn(pixels.shape, generator=rng, dtype=torch.float64)
    pixels += 0.1 * pixels.norm(dim=1, keepdim=True) * noise

    label[void] = IGNORED
    label = label.view(2, size, size)
    own = own.view(2, size, size).to(dtype)
    embedding = pixels.view(2, size, size, -1).permute(0, 3, 1, 2)
    return (embedding.to(dtype).contiguous(), label,
            own_probability(label, own, num_classes))


# --- values that do not depend on chance -----------------------------------


def one_query_scene(dtype=torch.float64):
    """Class 0: three pixels, one of them hard. Class 1: equal easy pixels."""
    label = torch.tensor([[[0, 0, 0, 1, 1, IGNORED]]])
    pixels = torch.tensor(
        [[3., 0, 1], [0, 2, 0], [0, .5, .5], [1, 1, -1], [2, 2, -2],
         [9, -9, 9]], dtype=dtype)
    own = torch.tensor([[[0.5, 0.99, 0.99, 0.98, 0.98, 0.1]]], dtype=dtype)
    embedding = pixels.t().reshape(1, 3, 1, 6).requires_grad_()
    return embedding, label, own_probability(label, own, 2)


def one_query_loss(embedding: Tensor, num_keys: int, t: float) -> Tensor:
    """What Eq. 1 gives for ``one_query_scene``, by hand."""
    pixels = embedding[0, :, 0].t()
    query = pixels[0]
    positive = pixels[:3].mean(dim=0).detach()
    negative = pixels[3].detach()
    gap = (F.cosine_similarity(query, negative, dim=0) -
           F.cosine_similarity(query, positive, dim=0)) / t
    of_class_0 = torch.log1p(num_keys * gap.exp())
    return (of_class_0 + 0) / 2  # class 1 has no hard pixel, but counts


@pytest.mark.parametrize('loss_weight', [1.0, 0.3])
def test_value_and_gradient_by_hand(loss_weight):
    embedding, label, prob = one_query_scene()
    loss = RegionalContrastLoss(
        num_queries=5, num_keys=7, temperature=0.4, loss_weight=loss_weight)
    value = loss(embedding, label, prob)
    grad, = torch.autograd.grad(value, embedding)
    expected = loss_weight * one_query_loss(embedding, 7, 0.4)
    expected_grad, = torch.autograd.grad(expected, embedding)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(grad, expected_grad)


def test_only_queries_receive_gradient():
    embedding, label, prob = one_query_scene()
    loss = RegionalContrastLoss(num_queries=5, num_keys=7)
    grad, = torch.autograd.grad(loss(embedding, label, prob), embedding)
    moved = grad[0, :, 0].abs().sum(dim=0) > 0
    assert moved.tolist() == [True, False, False, False, False, False]


def test_reference_by_hand():
    embedding, label, prob = one_query_scene()
    value = ReferenceLoss(5, 7, temperature=0.4)(embedding, label, prob)
    torch.testing.assert_close(value, one_query_loss(embedding, 7, 0.4))


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32])
@pytest.mark.parametrize('query_sampling', QUERY_SAMPLING)
@pytest.mark.parametrize('key_sampling', KEY_SAMPLING)
def test_same_draws_same_value_and_gradient(
        monkeypatch, dtype, query_sampling, key_sampling):
    """Eq. 1 written out for the very pixels that the loss has drawn."""
    drawn = {}

    def record(name: str) -> None:
        original = getattr(module, name)

        def recorded(*args):
            drawn[name] = original(*args)
            return drawn[name]

        monkeypatch.setattr(module, name, recorded)

    record('sample_queries')
    record('sample_keys')
    embedding, label, prob = scene(dtype=dtype)
    embedding.requires_grad_()
    loss = RegionalContrastLoss(
        20, 30, query_sampling=query_sampling, key_sampling=key_sampling)
    value = loss(embedding, label, prob, seeded(0))
    grad, = torch.autograd.grad(value, embedding)

    # Pixels are numbered class after class, in reading order inside a class.
    pixels = embedding.permute(0, 2, 3, 1)
    pixels = torch.cat([pixels[label == c] for c in range(4)])
    classes = torch.cat([label[label == c] for c in range(4)])
    query_index, num_eligible = drawn['sample_queries']
    expected = 0
    for c in range(4):
        assert (classes[query_index[c]] == c).all()
        assert (classes[drawn['sample_keys'][c]] != c).all()
        positive = pixels[classes == c].mean(dim=0).detach()
        for query, keys in zip(query_index[c], drawn['sample_keys'][c],
                               strict=True):
            keys = torch.cat([positive[None], pixels[keys].detach()])
            logits = F.cosine_similarity(pixels[query][None], keys) / 0.5
            expected = expected - logits.log_softmax(0)[0] / (4 * 20)
    assert (num_eligible > 0).all()
    expected_grad, = torch.autograd.grad(expected, embedding)
    tolerance = dict(rtol=1e-9, atol=1e-12)
    if dtype == torch.float32:
        tolerance = dict(rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(value, expected, **tolerance)
    torch.testing.assert_close(grad, expected_grad, **tolerance)


@pytest.mark.parametrize('bad', [math.nan, math.inf])
def test_overflow_ends_in_a_loss_that_is_not_finite(bad):
    """Not in an error: gradient scaling then skips the step."""
    embedding, label, prob = scene()
    embedding[0, 0, 0, 0] = bad
    label[0, 0, 0] = 0
    value = RegionalContrastLoss(8, 16)(
        embedding.requires_grad_(), label, prob, seeded(0))
    assert not value.isfinite()
    value.backward()


def test_other_label_types_are_refused():
    embedding, label, prob = scene()
    with pytest.raises(TypeError, match='int64, but got torch.uint8'):
        RegionalContrastLoss()(embedding, label.byte(), prob)


def test_more_classes_than_labels_can_tell():
    embedding, label, _ = scene()
    prob = torch.zeros(2, 256, 12, 12)
    with pytest.raises(ValueError, match='256 classes.*255 at most'):
        RegionalContrastLoss()(embedding, label, prob)


def test_input_layout_changes_nothing():
    """Channels-last maps give the same value, and a gradient laid out so."""
    embedding, label, prob = scene()
    results = []
    for layout in (torch.contiguous_format, torch.channels_last):
        maps = embedding.detach().contiguous(memory_format=layout)
        maps.requires_grad_()
        value = RegionalContrastLoss(8, 16)(maps, label, prob, seeded(3))
        grad, = torch.autograd.grad(value, maps)
        assert grad.is_contiguous(memory_format=layout)
        results.append((value, grad))
    torch.testing.assert_close(*results)


def test_loss_gradcheck():
    """Numerical gradients need keys that stay when a query moves.

    One class of a single hard query, whose mean is dominated by far larger
    easy pixels on the line through the query's mirror image: moving the query
    by a small step leaves the direction of the mean as it is.
    """
    embedding, label, prob = one_query_scene()
    large = torch.ones_like(embedding)
    large[..., 1:3] = 1e9
    base = (embedding.detach() * large)
    query = base[..., :1].clone().requires_grad_()
    loss = RegionalContrastLoss(num_queries=5, num_keys=7)

    def value(first_pixel: Tensor) -> Tensor:
        moved = torch.cat([first_pixel, base[..., 1:]], dim=3)
        return loss(moved, label, prob, seeded(0))

    assert torch.autograd.gradcheck(value, query)


# --- the same loss in expectation, and wrong ones told apart ----------------


def sampled_mean(loss, inputs, seeds=range(30)) -> tuple[float, float]:
    """Mean over seeds and its standard error."""
    values = torch.tensor(
        [float(loss(*inputs, seeded(seed))) for seed in seeds],
        dtype=torch.float64)
    return float(values.mean()), float(values.std() / math.sqrt(len(values)))


def standard_errors_apart(first, second) -> float:
    """Difference of two sampled means, in its own standard errors."""
    return abs(first[0] - second[0]) / math.hypot(first[1], second[1])


@pytest.fixture(scope='module')
def inputs():
    return scene()


ARGS = dict(num_queries=60, num_keys=40)


@pytest.fixture(scope='module')
def ours(inputs):
    return sampled_mean(RegionalContrastLoss(**ARGS), inputs)


@pytest.mark.parametrize('query_sampling, key_sampling', MODES)
def test_expected_loss_is_the_papers(inputs, query_sampling, key_sampling):
    modes = dict(query_sampling=query_sampling, key_sampling=key_sampling)
    ours = sampled_mean(RegionalContrastLoss(**ARGS, **modes), inputs)
    papers = sampled_mean(ReferenceLoss(**ARGS, **modes), inputs, range(9, 39))
    assert standard_errors_apart(ours, papers) < 3


class NoTemperatureInGraph(ReferenceLoss):
    """softmax(G) instead of softmax(G / t)."""

    def relation(self, query_class, means):
        temperature, self.temperature = self.temperature, 1.0
        probability = super().relation(query_class, means)
        self.temperature = temperature
        return probability


class MeanOfNormalized(ReferenceLoss):
    """Normalises every representation before the mean."""

    def mean(self, keys):
        return F.normalize(keys, dim=1).mean(dim=0)


class UniformClasses(ReferenceLoss):
    """Draws every other class equally often."""

    def relation(self, query_class, means):
        return torch.full((len(means) - 1, ), 1 / (len(means) - 1))


class PositiveNotInSum(ReferenceLoss):
    """Forgets the positive key in the denominator of Eq. 1."""

    def contrast(self, query, positive, negatives):
        return super().contrast(query, positive, negatives).expm1().log()


class DivisorWithoutEmptyClasses(ReferenceLoss):
    """Averages over the classes that have a query."""

    def class_terms(self, embedding, label, prob, generator=None):
        terms = list(super().class_terms(embedding, label, prob, generator))
        present = len(label[label != IGNORED].unique())
        return iter([term * present / len(terms) for term in terms])


class VoidIsClass(ReferenceLoss):
    """Takes void pixels for class 0."""

    def class_terms(self, embedding, label, prob, generator=None):
        label = label.masked_fill(label == IGNORED, 0)
        return super().class_terms(embedding, label, prob, generator)


WRONG = dict(
    uniform_keys=ReferenceLoss(**ARGS, key_sampling='random'),
    easy_queries=ReferenceLoss(**ARGS, query_sampling='easy'),
    random_queries=ReferenceLoss(**ARGS, query_sampling='random'),
    no_temperature_in_graph=NoTemperatureInGraph(**ARGS),
    uniform_classes=UniformClasses(**ARGS),
    mean_of_normalized=MeanOfNormalized(**ARGS),
    positive_not_in_sum=PositiveNotInSum(**ARGS),
    void_as_class=VoidIsClass(**ARGS),
)


@pytest.mark.parametrize('name', WRONG)
def test_wrong_variant_is_told_apart(inputs, ours, name):
    wrong = sampled_mean(WRONG[name], inputs, range(9, 39))
    assert standard_errors_apart(ours, wrong) > 10


def test_wrong_divisor_is_told_apart():
    embedding, label, prob = one_query_scene()
    ours = RegionalContrastLoss(**ARGS)(embedding, label, prob)
    wrong = DivisorWithoutEmptyClasses(**ARGS)(embedding, label, prob)
    torch.testing.assert_close(2 * ours, wrong)


def test_keys_with_gradient_are_told_apart():

    class KeysWithGradient(ReferenceLoss):

        def keys(self, embedding, where):
            with torch.enable_grad():
                return embedding.permute(0, 2, 3, 1)[where]

        def mean(self, keys):
            with torch.enable_grad():
                return super().mean(keys)

    embedding, label, prob = one_query_scene()
    grads = [
        torch.autograd.grad(loss(5, 7)(embedding, label, prob), embedding)[0]
        for loss in (RegionalContrastLoss, ReferenceLoss, KeysWithGradient)]
    torch.testing.assert_close(grads[0], grads[1])
    assert (grads[0] - grads[2]).norm() > 0.1 * grads[0].norm()


def exact_expectation(embedding: Tensor, label: Tensor, prob: Tensor,
                      t: float) -> float:
    """Mean of the loss over all draws for one key a query, by enumeration."""
    pixels = F.normalize(embedding, dim=1).permute(0, 2, 3, 1)
    raw = embedding.permute(0, 2, 3, 1)
    classes = label[label != IGNORED].unique().tolist()
    means = F.normalize(
        torch.stack([raw[label == c].mean(0) for c in classes]), dim=1)
    total = 0.
    for i, c in enumerate(classes):
        queries = pixels[(label == c) & (prob[:, c] < 0.97)]
        others = [j for j in range(len(classes)) if j != i]
        chances = ((means[others] @ means[i]) / t).softmax(0)
        for chance, j in zip(chances, others, strict=True):
            keys = pixels[label == classes[j]]
            gap = (queries @ keys.t() - queries @ means[i][:, None]) / t
            total += chance * gap.exp().log1p().mean()
    return float(total) / len(classes)


def test_expected_loss_by_enumeration(inputs):
    loss = RegionalContrastLoss(num_queries=20000, num_keys=1)
    mean, error = sampled_mean(loss, inputs)
    exact = exact_expectation(*inputs, t=0.5)
    assert error < 1e-3 * exact
    assert abs(mean - exact) < 3 * error


# --- sampling ---------------------------------------------------------------

SIGNIFICANCE = 1e-3  # of a test with a fixed seed: it passes or it does not


def fits(counts: Tensor, expected: Tensor) -> bool:
    """Chi-square test of counts against probabilities."""
    assert counts[expected == 0].sum() == 0
    counts, expected = counts[expected > 0], expected[expected > 0].double()
    expected = expected / expected.sum() * counts.sum()
    return chisquare(counts.numpy(), expected.numpy()).pvalue > SIGNIFICANCE


class TestKeys:
    COUNTS = torch.tensor([3, 40, 7, 10])

    @pytest.fixture
    def distribution(self) -> Tensor:
        means = torch.randn(4, 3, generator=seeded(0), dtype=torch.float64)
        return module.relation_distribution(means, temperature=0.5)

    @pytest.fixture(autouse=True, params=[torch.float64, torch.float32])
    def dtype(self, request, monkeypatch) -> None:
        """Of the uniform numbers: not all devices have float64."""
        monkeypatch.setattr(
            module, 'sampling_dtype', lambda device: request.param)

    def draw(self, distribution, queries=300, keys=100, seed=0) -> Tensor:
        return module.sample_keys(distribution, self.COUNTS, queries, keys,
                                  seeded(seed))

    def classes_of(self, pixels: Tensor) -> Tensor:
        classes = torch.arange(4).repeat_interleave(self.COUNTS)
        return classes[pixels]

    def test_distribution_is_the_softmax_of_cosines(self, distribution):
        means = torch.randn(4, 3, generator=seeded(0), dtype=torch.float64)
        for p in range(4):
            weights = [
                0. if q == p else math.exp(
                    F.cosine_similarity(means[p], means[q], dim=0) / 0.5)
                for q in range(4)]
            expected = torch.tensor(weights, dtype=torch.float64)
            torch.testing.assert_close(distribution[p],
                                       expected / expected.sum())

    def test_uniform_distribution_is_the_share_of_pixels(self):
        torch.testing.assert_close(
            module.uniform_distribution(self.COUNTS)[0],
            torch.tensor([0, 40, 7, 10]) / 57)

    def test_classes_follow_the_relation_graph(self, distribution):
        classes = self.classes_of(self.draw(distribution))
        for p in range(4):
            counts = classes[p].flatten().bincount(minlength=4)
            assert fits(counts, distribution[p])

    def test_a_uniform_draw_would_be_noticed(self, distribution):
        classes = self.classes_of(
            self.draw(module.uniform_distribution(self.COUNTS)))
        for p in range(4):
            counts = classes[p].flatten().bincount(minlength=4)
            assert not fits(counts, distribution[p])

    def test_pixels_of_a_class_are_equally_likely(self, distribution):
        per_pixel = (distribution / self.COUNTS).repeat_interleave(
            self.COUNTS, dim=1)
        pixels = self.draw(distribution)
        for p in range(4):
            counts = pixels[p].flatten().bincount(minlength=60)
            assert fits(counts, per_pixel[p])

    def test_random_keys_are_uniform_over_other_classes(self):
        distribution = module.uniform_distribution(self.COUNTS)
        pixels = self.draw(distribution)
        for p in range(4):
            expected = (self.classes_of(torch.arange(60)) != p).double()
            assert fits(pixels[p].flatten().bincount(minlength=60), expected)

    def test_draws_of_one_query_are_independent(self, distribution):
        """Pairs of keys of one query follow the product distribution."""
        classes = self.classes_of(self.draw(distribution, 20000, 2))
        for p in range(4):
            first, second = classes[p].unbind(dim=1)
            low, high = first.minimum(second), first.maximum(second)
            pairs = torch.outer(distribution[p], distribution[p])
            pairs = pairs.triu() + pairs.tril(-1).t()
            counts = (4 * low + high).bincount(minlength=16)
            assert fits(counts, pairs.flatten())

    def test_queries_draw_independently(self, distribution):
        """Neighbouring queries' first keys follow the product, too."""
        classes = self.classes_of(self.draw(distribution, 20000, 1))
        for p in range(4):
            even, odd = classes[p, ::2, 0], classes[p, 1::2, 0]
            pairs = torch.outer(distribution[p], distribution[p])
            assert fits((4 * even + odd).bincount(minlength=16),
                        pairs.flatten())


class TestQueries:
    COUNTS = torch.tensor([30, 5, 25])

    @pytest.fixture
    def eligible(self) -> Tensor:
        eligible = torch.rand(60, generator=seeded(0)) < 0.5
        eligible[30:35] = False  # no query in class 1
        return eligible

    def test_uniform_over_hard_pixels(self, eligible):
        pixels, num_eligible = module.sample_queries(
            eligible, self.COUNTS, 5000, seeded(0))
        classes = torch.arange(3).repeat_interleave(self.COUNTS)
        for c in (0, 2):
            expected = (eligible & (classes == c)).double()
            assert num_eligible[c] == expected.sum()
            assert fits(pixels[c].bincount(minlength=60), expected)

    def test_class_without_hard_pixel(self, eligible):
        pixels, num_eligible = module.sample_queries(
            eligible, self.COUNTS, 50, seeded(0))
        assert num_eligible[1] == 0
        assert (pixels >= 0).all() and (pixels < 60).all()

    def test_last_class_without_hard_pixel(self):
        eligible = torch.tensor([True, False, False])
        pixels, num_eligible = module.sample_queries(
            eligible, torch.tensor([2, 1]), 50, seeded(0))
        assert num_eligible.tolist() == [1, 0]
        assert (pixels < 3).all() and (pixels[0] == 0).all()

    def test_consecutive_draws_are_independent(self, eligible):
        pixels, _ = module.sample_queries(
            eligible[:30], self.COUNTS[:1], 40000, seeded(0))
        rank = (eligible[:30].cumsum(0) - 1)[pixels[0]]
        n = int(eligible[:30].sum())
        pairs = (rank[::2] * n + rank[1::2]).bincount(minlength=n * n)
        assert fits(pairs, torch.ones(n * n))


# --- training with it -------------------------------------------------------


def test_descent_on_free_embeddings():
    """Following the gradient separates the classes."""
    embedding, label, prob = scene()
    embedding = torch.randn(
        embedding.shape, generator=seeded(1)).requires_grad_()
    loss = RegionalContrastLoss(64, 64, query_sampling='random')
    optimizer = torch.optim.Adam([embedding], lr=0.05)
    values = []
    for step in range(60):
        value = loss(embedding, label, prob, seeded(step))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.item())
    # The least value, keys opposite to the query: log(1 + 64 exp(-2 / t)).
    assert values[0] > 3.9
    assert values[-1] < 2.2
    pixels = F.normalize(embedding.detach(), dim=1).permute(0, 2, 3, 1)
    means = F.normalize(
        torch.stack([pixels[label == c].mean(0) for c in range(4)]), dim=1)
    nearest = (pixels @ means.t()).argmax(dim=3)
    valid = label != IGNORED
    assert (nearest == label)[valid].double().mean() > 0.98


def test_same_generator_same_value(inputs):
    loss = RegionalContrastLoss(**ARGS)
    assert loss(*inputs, seeded(3)) == loss(*inputs, seeded(3))
    assert loss(*inputs, seeded(3)) != loss(*inputs, seeded(4))


def test_default_generator_follows_the_global_seed(inputs):
    loss = RegionalContrastLoss(**ARGS)
    values = []
    for _ in range(2):
        torch.manual_seed(5)
        values.append(loss(*inputs))
    assert values[0] == values[1] != loss(*inputs)


def test_inputs_are_left_alone(inputs):
    copies = [tensor.clone() for tensor in inputs]
    RegionalContrastLoss(**ARGS)(*inputs)
    for tensor, copied in zip(inputs, copies, strict=True):
        assert torch.equal(tensor, copied)


def test_scale_of_an_embedding_does_not_matter(inputs):
    embedding, label, prob = inputs
    loss = RegionalContrastLoss(**ARGS)
    torch.testing.assert_close(
        loss(embedding, label, prob, seeded(0)),
        loss(1e4 * embedding, label, prob, seeded(0)))


# --- edge cases -------------------------------------------------------------

EVERY_MODE = pytest.mark.parametrize(
    'modes', [dict(query_sampling=q, key_sampling=k) for q, k in MODES],
    ids=lambda modes: '-'.join(modes.values()))


def finite_with_graph(loss, embedding, label, prob) -> tuple[float, Tensor]:
    """Value and gradient, both finite."""
    embedding = embedding.clone().requires_grad_()
    value = loss(embedding, label, prob, seeded(0))
    assert value.shape == () and value.isfinite()
    value.backward()
    assert embedding.grad.isfinite().all()
    assert embedding.grad.dtype == embedding.dtype
    return value.item(), embedding.grad


@EVERY_MODE
@pytest.mark.parametrize('classes', [[], [0], [3]])
def test_fewer_than_two_classes_give_zero_with_graph(inputs, modes, classes):
    embedding, label, prob = inputs
    keep = torch.isin(label, torch.tensor(classes, dtype=torch.long))
    value, grad = finite_with_graph(
        RegionalContrastLoss(**ARGS, **modes), embedding,
        label.masked_fill(~keep, IGNORED), prob)
    assert value == 0
    assert not grad.any()


@EVERY_MODE
@pytest.mark.parametrize('classes', [[0, 3], [1, 2], [0, 1, 3]])
def test_two_and_three_classes(inputs, modes, classes):
    embedding, label, prob = inputs
    keep = torch.isin(label, torch.tensor(classes))
    value, grad = finite_with_graph(
        RegionalContrastLoss(**ARGS, **modes), embedding,
        label.masked_fill(~keep, IGNORED), prob)
    assert value > 0
    moved = grad.abs().sum(dim=1) > 0
    assert moved[keep].any() and not moved[~keep].any()


@pytest.mark.parametrize('key_sampling', KEY_SAMPLING)
@pytest.mark.parametrize('query_sampling, own', [('hard', 0.97),
                                                 ('easy', 0.969)])
def test_no_matching_query_gives_zero_with_graph(
        inputs, query_sampling, own, key_sampling):
    embedding, label, _ = inputs
    prob = own_probability(label, torch.full(label.shape, own), 4)
    value, grad = finite_with_graph(
        RegionalContrastLoss(
            **ARGS, query_sampling=query_sampling, key_sampling=key_sampling),
        embedding, label, prob)
    assert value == 0
    assert not grad.any()


@EVERY_MODE
def test_single_pixels(modes):
    """Every class is one pixel: the query is its own positive key."""
    label = torch.tensor([[[0, 1], [2, IGNORED]]])
    embedding = torch.randn(1, 8, 2, 2, generator=seeded(0))
    own = torch.tensor([[[0.5, 0.5], [0.5, 0.5]]])
    value, _ = finite_with_graph(
        RegionalContrastLoss(**ARGS, **modes), embedding, label,
        own_probability(label, own, 3))
    assert (value > 0) == (modes['query_sampling'] != 'easy')


@EVERY_MODE
def test_embedding_of_zeros(inputs, modes):
    """A dead head: all cosines are 0, the gradient stays finite."""
    embedding, label, prob = inputs
    value, _ = finite_with_graph(
        RegionalContrastLoss(**ARGS, **modes), torch.zeros_like(embedding),
        label, prob)
    assert value == pytest.approx(math.log(1 + ARGS['num_keys']))


@EVERY_MODE
@pytest.mark.parametrize('dtype', HALF)
def test_half_precision_inputs(inputs, modes, dtype):
    embedding, label, prob = inputs
    loss = RegionalContrastLoss(**ARGS, **modes)
    rounded = embedding.to(dtype)
    value, grad = finite_with_graph(loss, rounded, label, prob.to(dtype))
    exact, exact_grad = finite_with_graph(loss, rounded.float(), label,
                                          prob.to(dtype))
    assert value == pytest.approx(exact, rel=1e-5)
    torch.testing.assert_close(
        grad.float(), exact_grad, rtol=1e-2, atol=1e-5)


def test_autocast_changes_nothing(inputs):
    embedding, label, prob = (inputs[0].float(), inputs[1], inputs[2].float())
    loss = RegionalContrastLoss(**ARGS)
    value, grad = finite_with_graph(loss, embedding, label, prob)
    with torch.autocast('cpu', torch.bfloat16):
        cast, cast_grad = finite_with_graph(loss, embedding, label, prob)
    assert cast == value
    assert torch.equal(cast_grad, grad)


def test_large_half_precision_values_do_not_overflow():
    """60000 is finite in float16, its square and its sum are not."""
    embedding, label, prob = scene()
    large = (embedding.sign() * 60000).half()
    finite_with_graph(RegionalContrastLoss(**ARGS), large, label, prob)


def test_class_that_appears_nowhere_changes_nothing(inputs):
    embedding, label, prob = inputs
    wider = torch.cat([prob, torch.zeros_like(prob[:, :3])], dim=1)
    loss = RegionalContrastLoss(**ARGS)
    assert (loss(embedding, label, wider, seeded(0)) == loss(
        embedding, label, prob, seeded(0)))


@pytest.mark.parametrize('value', [4, -1, 254])
def test_label_outside_the_classes(inputs, value):
    embedding, label, prob = inputs
    label = label.clone()
    label[0, 0, 0] = value
    with pytest.raises(ValueError, match=str(value)):
        RegionalContrastLoss(**ARGS)(embedding, label, prob)


def test_shapes_that_do_not_belong_together(inputs):
    embedding, label, prob = inputs
    loss = RegionalContrastLoss()
    with pytest.raises(ValueError, match='must share B, h and w'):
        loss(embedding[..., 1:], label, prob)
    with pytest.raises(ValueError, match='must share B, h and w'):
        loss(embedding, label, prob[..., 1:])


@pytest.mark.parametrize('argument', [
    dict(query_sampling='soft'), dict(key_sampling='passive'),
    dict(num_queries=0), dict(num_keys=0), dict(temperature=0)])
def test_bad_arguments_are_named(argument):
    name, = argument
    with pytest.raises(ValueError, match=name):
        RegionalContrastLoss(**argument)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_gpu_expects_the_same(inputs, ours):
    loss = RegionalContrastLoss(**ARGS)
    on_gpu = [tensor.cuda() for tensor in inputs]
    values = torch.tensor([
        loss(*on_gpu, torch.Generator('cuda').manual_seed(seed)).item()
        for seed in range(30)])
    gpu = float(values.mean()), float(values.std() / math.sqrt(30))
    assert standard_errors_apart(ours, gpu) < 3
