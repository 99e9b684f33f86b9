"""A model read from a GGUF file: as transformers reads it, bit for bit, in a fraction of its time.

Names, changes of layout and configuration come from the tables of gguf and transformers; only the reading is another
(`gguf_file`), and tensors go into place instead of through the general way of loading. A test holds both against each
other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from prefstream.scoring.demo.gguf_file import GgufFile
from prefstream.scoring.errors import LoadError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

_TEXT_MODELS: Final = {"gemma3": "gemma3_text"}
"""What transformers calls an architecture whose files hold the text model alone; others have the same name."""


def read_model(file: GgufFile, on_progress: Callable[[float], None] = lambda _share: None) -> PreTrainedModel:
    """Build the model with its weights, in bfloat16.

    Args:
        file: that has them.
        on_progress: hears the share of the weights that is read, 0 to 1.

    Raises:
        LoadError: the file lacks tensors of the model, or holds values that are not finite.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.modeling_gguf_pytorch_utils import TENSOR_PROCESSORS, TensorProcessor

    config = _config(file)
    with torch.device("meta"):  # takes no memory: the weights come from the file
        model: PreTrainedModel = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config), dtype=torch.bfloat16)
    names = _names(file, model)
    process = TENSOR_PROCESSORS.get(file.architecture, TensorProcessor)(config=config).process
    weights: dict[str, torch.Tensor] = {}
    total = sum(math.prod(tensor.shape) for tensor in file.tensors)
    read = 0
    for name, values in file.unpacked():
        read += values.size
        on_progress(read / total)
        if name not in names:  # such as the frequencies of rotary embeddings, which are computed
            continue
        laid_out = np.ascontiguousarray(process(weights=values, name=name).weights)
        tensor = torch.from_numpy(laid_out).to(torch.bfloat16)
        if not torch.isfinite(tensor).all():
            raise LoadError(f"tensor {name} holds values that are not finite")
        weights[names[name]] = tensor
    model.load_state_dict(weights, strict=False, assign=True)
    model.tie_weights()
    missing = [name for name, parameter in model.named_parameters() if parameter.is_meta]
    if missing:
        raise LoadError(f"{len(missing)} tensors of the model are not in the file, {missing[0]} among them")
    return model


def read_tokenizer(file: GgufFile) -> PreTrainedTokenizerFast:
    """Build the tokenizer."""
    from tokenizers import pre_tokenizers
    from transformers import GemmaTokenizer, PreTrainedTokenizerFast

    # Not AutoTokenizer, which reads the whole file for a configuration that says no more than its architecture.
    kind = GemmaTokenizer if file.architecture in _TEXT_MODELS else PreTrainedTokenizerFast
    tokenizer: PreTrainedTokenizerFast = kind.from_pretrained(file.path.parent, gguf_file=file.path.name)
    if file.metadata.get("tokenizer.ggml.pre") == "smollm":
        # Split digits as SmolLM2 was trained to, which transformers does not read: without it, one text in eleven is
        # tokenised differently around spaces before numbers.
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
    return tokenizer


def _config(file: GgufFile) -> dict[str, Any]:
    """What transformers' configuration is made from."""
    from transformers.integrations import GGUF_CONFIG_MAPPING

    config: dict[str, Any] = {"vocab_size": file.metadata.get("tokenizer.ggml.tokens")}
    for key, value in file.metadata.items():
        group, _, rest = key.partition(".")
        renamed = GGUF_CONFIG_MAPPING.get(group, {}).get(rest)
        if renamed is not None and renamed != -1:  # these have no counterpart
            config[renamed] = value
    config["model_type"] = _TEXT_MODELS.get(file.architecture, file.architecture)
    config["tie_word_embeddings"] = all(tensor.name != "output.weight" for tensor in file.tensors)
    return config


def _names(file: GgufFile, model: PreTrainedModel) -> dict[str, str]:
    """The model's name of each tensor, by llama.cpp's."""
    from gguf import MODEL_ARCH_NAMES, get_tensor_name_map

    [architecture] = [number for number, name in MODEL_ARCH_NAMES.items() if name == file.architecture]
    known = get_tensor_name_map(architecture, model.config.num_hidden_layers)
    stems = {name: name.rpartition(".")[::2] for name in model.state_dict()}
    return {f"{known.get_name(stem)}.{suffix}": name for name, (stem, suffix) in stems.items()}
