import pytest
import torch
from torch import nn

from superres.inference import enhance
from superres.models.srcnn import SRCNN
from superres.models.vdsr import VDSR


@pytest.mark.parametrize("network", [SRCNN, VDSR])
@pytest.mark.parametrize("tile", [(16, 16), (37, 100), (100, 37), (64, 64), (69, 53)])
def test_tiles_give_the_whole_image_bit_for_bit(network, tile):
    torch.manual_seed(0)
    trained = network()
    for parameter in trained.parameters():
        nn.init.normal_(parameter, std=0.03)
    image = torch.rand(1, 1, 70, 53)
    assert torch.equal(enhance(trained, image, tile), enhance(trained, image, (100, 100)))


def test_the_result_is_clipped():
    class Overshoot(nn.Module):
        halo = 0

        def forward(self, images: torch.Tensor, above: int, below: int) -> torch.Tensor:
            assert above == below == 0
            return images * 3 - 1

    values = torch.tensor([0.0, 0.5, 1.0]).view(1, 1, 1, 3)
    assert enhance(Overshoot(), values).flatten().tolist() == [0, 0.5, 1]
