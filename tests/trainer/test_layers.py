import pytest
from torch import nn

from trainer.layers import freeze, layers_of, parameter_groups, train_mode
from trainer.networks import NetworkSettings, build_network
from trainer.settings import TrainSettings


def small():
    return build_network(NetworkSettings("small", 32, 8, width=4, depths=(1, 1)))


@pytest.mark.parametrize(
    ("kind", "size", "count"),
    [("small", 32, 12), ("dlib", 150, 16), ("sface", 112, 30), ("iresnet", 32, 30), ("slim", 112, 22)],
)
def test_every_weight_belongs_to_one_layer(kind, size, count):
    network = build_network(NetworkSettings(kind, size, 128))
    layers = layers_of(network)
    assert len(layers) == count
    assert layers[0][0].startswith(("stem", "layers.0"))
    assert sum(len(list(layer.parameters())) for _, layer in layers) == len(list(network.parameters()))
    groups = parameter_groups(network, [], TrainSettings())
    assert sum(len(group.parameters) for group in groups) == len(list(network.parameters()))


def test_what_is_frozen_is_not_trained():
    network, settings = small(), TrainSettings(freeze=3, layer_decay=0.5, body_rate=0.1)
    freeze(network, settings)
    names = [name for name, _ in layers_of(network)]
    assert names == ["stem", "stem_norm", "stages.0", "stages.1", "stages.2", "stages.3", "head", "head_norm"]
    trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert not any(name.startswith(("stem", "stages.0")) for name in trained)
    assert any(name.startswith("stages.1") for name in trained)
    train_mode(network, settings)
    assert not network.stem_norm.training
    assert network.stages[3].second_norm.training
    groups = parameter_groups(network, [], settings)
    rates = {id(parameter): group.rate for group in groups for parameter in group.parameters}
    assert rates[id(network.head.weight)] == 1
    assert rates[id(network.stages[3].first.weight)] == pytest.approx(0.1 * 0.5)
    assert rates[id(network.stages[1].first.weight)] == pytest.approx(0.1 * 0.5**3)


def test_weight_decay_spares_biases_and_scales():
    network = small()
    groups = parameter_groups(network, [nn.Parameter(network.head.weight.detach())], TrainSettings(classifier_rate=7))
    decayed = {id(parameter) for group in groups if group.decays for parameter in group.parameters}
    assert id(network.head.weight) in decayed
    assert id(network.stem_norm.weight) not in decayed
    assert groups[-1].rate == 7


def test_batch_norm_can_keep_its_statistics():
    network = small()
    train_mode(network, TrainSettings(freeze_norm=True))
    assert network.training
    assert not any(module.training for module in network.modules() if isinstance(module, nn.BatchNorm2d))


def test_something_must_be_left_to_train():
    with pytest.raises(ValueError, match="freezing 8 layers leaves nothing to train: there are 8"):
        freeze(small(), TrainSettings(freeze=8))
