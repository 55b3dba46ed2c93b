"""Which image goes with a caption, if words and codes of the image are one text?"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lightning_cv.contracts import Draws
from lightning_cv.errors import UserError
from lightning_cv.networks.blocks.causal_attention import CausalTransformer
from lightning_cv.networks.generate.base import Autoregressive, check_at_least
from lightning_cv.ops.levels import from_levels, log_prob_of, pick

_STD = 0.02  # of embeddings at the start, as in GPT-2


class CaptionedCodes(Autoregressive):
    """A transformer over the words of a caption and then the values of an image (Ramesh et al. 2021, DALL-E; row 246).

    Of the codes of a `VqVae` it is the prior: p(text, codes) = p(text) p(codes | text), each token from those before
    it. The caption of an image is that of its class; a new one may have any words that occur in these. The paper weighs
    the words by 1/8, as `loss_weights` can with the loss `caption`.

    Args:
        image: (C, H, W).
        levels: L, values that a pixel can take, or codes of a book.
        num_classes: see `Generative`; None: there is no text.
        captions: of each class, words with blanks between; None: one word, the number of the class.
        width: of a token.
        num_layers: transformer blocks.
        num_heads: of attention; divides the width.

    Raises:
        UserError: not one caption a class.
    """

    example_input = (1, 8, 8)
    texts: Tensor  # (num_classes, N) int64

    def __init__(
        self,
        image: tuple[int, int, int] = (1, 8, 8),
        *,
        levels: int = 17,
        num_classes: int | None = None,
        captions: list[str] | None = None,
        width: int = 64,
        num_layers: int = 3,
        num_heads: int = 4,
    ) -> None:
        super().__init__(image, levels=levels, num_classes=num_classes)
        check_at_least("width", width, 1)
        check_at_least("num_layers", num_layers, 1)
        said = [str(number) for number in range(num_classes or 0)] if captions is None else captions
        if len(said) != (num_classes or 0) or not all(caption.split() for caption in said):
            raise UserError(f"network: captions are {said}; allowed: one of one word or more for each class")
        # The first word is the blank behind a caption that is shorter than others.
        self.words = ("", *sorted({word for caption in said for word in caption.split()}))
        self.num_words = max((len(caption.split()) for caption in said), default=0)  # N, of the longest
        texts = torch.stack([self.tokens(caption) for caption in said] or [self.tokens("")])
        self.register_buffer("texts", texts, persistent=False)
        self.start = nn.Parameter(torch.empty(1, 1, width))
        self.positions = nn.Parameter(torch.empty(self.num_words + self.num_values, width))
        self.code_vectors = nn.Embedding(levels, width)
        self.word_vectors = nn.Embedding(len(self.words), width) if said else None
        self.transformer = CausalTransformer(width, num_layers=num_layers, num_heads=num_heads)
        self.code_head = nn.Linear(width, levels)
        self.word_head = nn.Linear(width, len(self.words)) if said else None
        vectors = [self.code_vectors.weight, *([] if self.word_vectors is None else [self.word_vectors.weight])]
        for embedding in (self.start, self.positions, *vectors):
            nn.init.normal_(embedding, std=_STD)
        for head in (self.code_head, self.word_head):
            for parameter in () if head is None else head.parameters():
                nn.init.zeros_(parameter)

    def loss_terms(self, images: Tensor, labels: Tensor | None, draws: Draws) -> Mapping[str, Tensor]:
        """`nll` (B,) of the image, and `caption` (B,) of its words, in nats."""
        return {**super().loss_terms(images, labels, draws), **self.other_terms(labels)}

    def other_terms(self, labels: Tensor | None) -> Mapping[str, Tensor]:
        """`caption` (B,) float32, -log p(text) in nats of the classes' captions; none where there is no text."""
        if self.word_head is None:
            return {}
        text = self._texts_of(labels, 0)
        scores = self.word_head(self._read(self._sequence(text)[:, : self.num_words]))
        return {"caption": -log_prob_of(scores.movedim(-1, 1), text)}

    def scores(self, values: Tensor, labels: Tensor | None = None, context: Tensor | None = None) -> Tensor:
        """(B, L, C, H, W); see `Autoregressive`. There is no context."""
        codes = self.code_vectors(self.in_order(values)[:, :-1])
        tokens = torch.cat([self._sequence(self._texts_of(labels, len(values))), codes], 1)
        return self.in_image(self.code_head(self._read(tokens)[:, self.num_words :]))

    def draw_values(self, uniform: Tensor, labels: Tensor | None = None, context: Tensor | None = None) -> Tensor:
        """See `Autoregressive`; keys and values of tokens are kept, so that a value costs the pass of one token."""
        return self._draw(uniform, self._texts_of(labels, len(uniform)))

    def sample_caption(self, draws: Draws, caption: str) -> Tensor:
        """See `ReadsCaptions`."""
        return from_levels(self.values_of_caption(draws, caption), self.levels)

    def values_of_caption(self, draws: Draws, caption: str) -> Tensor:
        """New values (B, C, H, W) int64 in [0, L) of a caption that may be new.

        Raises:
            UserError: a word that no caption of a class has, or too many.
        """
        channels, height, width = self.image
        text = self.tokens(caption).to(self.positions.device).expand(len(draws), -1)
        return self._draw(draws.uniform(height, width, channels).permute(0, 3, 1, 2), text)

    def tokens(self, caption: str) -> Tensor:
        """(N,) int64: the words of a caption, and blanks up to the longest.

        Raises:
            UserError: a word that no caption of a class has, or too many.
        """
        given = caption.split()
        unknown = [word for word in given if word not in self.words]
        if unknown:
            raise UserError(f"caption: {unknown[0]!r} is unknown; allowed: {', '.join(self.words[1:])}")
        if len(given) > self.num_words:
            raise UserError(f"caption: {len(given)} words; allowed: up to {self.num_words}")
        numbers = [self.words.index(word) for word in given] + [0] * (self.num_words - len(given))
        return torch.tensor(numbers, dtype=torch.int64)

    @torch.no_grad()
    def _draw(self, uniform: Tensor, text: Tensor) -> Tensor:
        numbers = self.in_order(uniform)
        length = len(self.positions)
        memory = self.transformer.empty_memory(len(uniform), length)
        given = self._sequence(text)
        values: list[Tensor] = []
        for place in range(length):
            is_given = place <= self.num_words
            token = given[:, place, None] if is_given else self.code_vectors(values[-1])[:, None]
            known = self.transformer.next(token + self.positions[place], memory, place)
            if place >= self.num_words:
                values.append(pick(self.code_head(known), numbers[:, place - self.num_words]))
        return self.in_image(torch.stack(values, 1))

    def _texts_of(self, labels: Tensor | None, batch: int) -> Tensor:
        """(B, N) int64, the words of each image's caption; N is 0 where there is no text."""
        if (labels is None) != (self.num_classes is None):
            wanted = "takes no class" if labels is not None else f"needs one of its {self.num_classes} classes"
            raise UserError(f"{type(self).__name__}: the network {wanted} an image")
        if labels is None:
            return torch.empty(batch, 0, dtype=torch.int64, device=self.positions.device)
        return self.texts[labels]

    def _sequence(self, text: Tensor) -> Tensor:
        """(B, 1 + N, width): the start, and the words."""
        start = self.start.expand(len(text), -1, -1)
        return start if self.word_vectors is None else torch.cat([start, self.word_vectors(text)], 1)

    def _read(self, tokens: Tensor) -> Tensor:
        """(B, T, width), what is known behind each of the first T tokens."""
        known: Tensor = self.transformer(tokens + self.positions[: tokens.shape[1]])
        return known
