"""RaDialog's aligner in plain PyTorch, for speed: the steps of LAVIS' Blip2Qformer.forward as published, with attention
by a written-out softmax, texts padded and every call's image keys computed anew; or TUNED: PyTorch's own attention,
image keys once, words said only where there are any, and texts PACKED if asked."""
import torch
from torch import nn
from torch.nn import functional as F

WIDTH, LAYERS, HEADS, INNER, QUERIES, IMAGE, PROJECTION = 768, 12, 12, 3072, 32, 1408, 256
VOCABULARY, POSITIONS, DROPOUT = 30523, 512, 0.1
DEC = VOCABULARY - 1


def heads(x):
    return x.unflatten(-1, (HEADS, -1)).transpose(-2, -3)


def whole(x):
    return x.transpose(-2, -3).flatten(-2)


def attend(q, k, v, mask, tuned):
    """(..., H, L, d); MASK of what is seen, or None."""
    if tuned:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=DROPOUT)
    scores = torch.matmul(q, k.transpose(-1, -2)) / q.shape[-1] ** 0.5
    if mask is not None:
        scores = scores + (1.0 - mask.to(scores.dtype)) * -10000.0
    return torch.matmul(F.dropout(scores.softmax(-1), DROPOUT), v)


class Attention(nn.Module):
    def __init__(self, keys):
        super().__init__()
        self.query, self.key, self.value = nn.Linear(WIDTH, WIDTH), nn.Linear(keys, WIDTH), nn.Linear(keys, WIDTH)
        self.out, self.norm = nn.Linear(WIDTH, WIDTH), nn.LayerNorm(WIDTH, 1e-12)

    def end(self, x, attended):
        return self.norm(x + F.dropout(self.out(attended), DROPOUT))


class Feed(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down, self.norm = nn.Linear(WIDTH, INNER), nn.Linear(INNER, WIDTH), nn.LayerNorm(WIDTH, 1e-12)

    def forward(self, x):
        return self.norm(x + F.dropout(self.down(F.gelu(self.up(x))), DROPOUT))


class Padded:
    """Sequences (B, L, D)."""

    def __init__(self, mask, tuned):
        self.mask, self.tuned = mask, tuned

    def attend(self, q, k, v, seen):
        q, k, v = heads(q), heads(k), heads(v)
        if seen is not None:
            k, v = torch.cat([seen[0], k], -2), torch.cat([seen[1], v], -2)
        return whole(attend(q, k, v, self.mask, self.tuned)), (k, v)


class Packed:
    """Rows (N, D): those of IMAGES' queries, then texts of LENGTHS; CAUSAL: behind the queries' keys seen before."""

    def __init__(self, images, lengths, causal=False):
        self.sizes, self.images, self.texts, self.causal = [QUERIES] * images + lengths, images, len(lengths), causal

    def sequences(self, x):
        rows = x.split(self.sizes)
        if self.images and self.texts:
            rows = [torch.cat([rows[i], rows[self.images + i]]) for i in range(self.images)]
        return [heads(r).unsqueeze(0) for r in rows]

    def attend(self, q, k, v, seen):
        out = []
        q, k, v = self.sequences(q), self.sequences(k), self.sequences(v)
        for i in range(len(q)):
            mask = None
            if self.causal:
                k[i], v[i] = torch.cat([seen[0][i], k[i]], -2), torch.cat([seen[1][i], v[i]], -2)
                T = q[i].shape[-2]
                mask = torch.ones(T, T + QUERIES, dtype=torch.bool).tril(QUERIES)
            out.append(whole(attend(q[i], k[i], v[i], mask, True))[0])
        if self.images and self.texts:
            parts = [o.split([QUERIES, len(o) - QUERIES]) for o in out]
            out = [p[0] for p in parts] + [p[1] for p in parts]
        return torch.cat(out), (k, v)


class Layer(nn.Module):
    def __init__(self, looks):
        super().__init__()
        self.self, self.cross = Attention(WIDTH), Attention(IMAGE) if looks else None
        self.text, self.query = Feed(), Feed()

    def look(self, x, sight, tuned):
        """Query rows: packed ones are taken apart, for all have the same number."""
        a = self.cross
        q = heads(a.query(x).reshape(-1, QUERIES, WIDTH))
        return a.end(x, whole(attend(q, *sight, None, tuned)).reshape(x.shape))

    def forward(self, x, queries, form, sight, seen, tuned):
        """The first QUERIES rows of each sequence, or of all packed ones, are queries."""
        a = self.self
        attended, kept = form.attend(a.query(x), a.key(x), a.value(x), seen)
        x = a.end(x, attended)
        if not queries:
            return self.text(x), kept
        q, t = x.split([queries, x.shape[-2] - queries], -2)
        if self.cross is not None:
            q = self.look(q, sight, tuned)
        q = self.query(q)
        return (torch.cat([q, self.text(t)], -2) if t.shape[-2] else q), kept


class Aligner(nn.Module):
    def __init__(self, tuned):
        super().__init__()
        self.tuned = tuned
        self.project1, self.project2 = nn.Linear(512, IMAGE, bias=False), nn.Linear(IMAGE, IMAGE)
        self.project_norm = nn.BatchNorm1d(IMAGE)
        for module in (self.project1, self.project2, self.project_norm):
            module.requires_grad_(False)
        self.ln_vision = nn.LayerNorm(IMAGE)
        self.query_tokens, self.temp = nn.Parameter(torch.randn(QUERIES, WIDTH) * 0.02), nn.Parameter(torch.tensor(0.07))
        self.word, self.position = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(POSITIONS, WIDTH)
        self.norm = nn.LayerNorm(WIDTH, 1e-12)
        self.layers = nn.ModuleList(Layer(i % 2 == 0) for i in range(LAYERS))
        self.transform, self.transform_norm = nn.Linear(WIDTH, WIDTH), nn.LayerNorm(WIDTH, 1e-12)
        self.decoder_bias = nn.Parameter(torch.zeros(VOCABULARY))
        self.vision_proj, self.text_proj = nn.Linear(WIDTH, PROJECTION), nn.Linear(WIDTH, PROJECTION)
        self.itm_head = nn.Linear(WIDTH, 2)
        for module in self.modules():
            if isinstance(module, (nn.Embedding, nn.Linear)):
                nn.init.normal_(module.weight, std=0.02)

    def tokens(self, features):
        with torch.no_grad():
            x = self.project1(features).flatten(0, 1)
            x = F.batch_norm(x, self.project_norm.running_mean, self.project_norm.running_var, self.project_norm.weight,
                             self.project_norm.bias, False)
            x = self.project2(F.relu(x)).unflatten(0, features.shape[:2])
            x = x.transpose(1, 2).reshape(x.shape)  # not the transpose of that: RaDialog's tokens are runs of channels
        return self.ln_vision(x)

    def sight(self, image):
        return [None if l.cross is None else (heads(l.cross.key(image)), heads(l.cross.value(image)))
                for l in self.layers]

    def embed(self, images, ids, positions):
        """IMAGES sequences of queries before texts (B, T); packed texts (N) come behind all queries."""
        parts = []
        if images:
            q = self.query_tokens.expand(images, -1, -1)
            parts.append(q.flatten(0, 1) if ids is not None and ids.ndim == 1 else q)
        if ids is not None:
            parts.append(self.word(ids) + self.position(positions))
        return F.dropout(self.norm(torch.cat(parts, -2)), DROPOUT)

    def run(self, x, queries, form, sight=None, seen=None):
        kept = []
        for i, layer in enumerate(self.layers):
            if sight is not None and torch.is_tensor(sight):  # as published: each call's keys anew
                own = None if layer.cross is None else (heads(layer.cross.key(sight)), heads(layer.cross.value(sight)))
            else:
                own = sight and sight[i]
            x, k = layer(x, queries, form, own, seen and seen[i], self.tuned)
            kept.append(k)
        return x, kept

    def say(self, x):
        x = self.transform_norm(F.gelu(self.transform(x)))
        return F.linear(x, self.word.weight, self.decoder_bias)

    def contrast(self, queries, first):
        images, texts = F.normalize(self.vision_proj(queries), dim=-1), F.normalize(self.text_proj(first), dim=-1)
        to_text = torch.matmul(images.unsqueeze(1), texts.unsqueeze(-1)).squeeze(-1).amax(-1) / self.temp
        to_image = torch.matmul(texts.unsqueeze(1).unsqueeze(1), images.transpose(1, 2)).squeeze(2).amax(-1) / self.temp
        target = torch.arange(len(queries))
        loss = (F.cross_entropy(to_text, target, label_smoothing=0.1) +
                F.cross_entropy(to_image, target, label_smoothing=0.1)) / 2
        with torch.no_grad():
            draws = []
            for s in (to_image, to_text):
                weights = F.softmax(s.float(), 1) + 1e-4
                weights.fill_diagonal_(0)
                draws.append([torch.multinomial(w, 1).item() for w in weights])
        return loss, draws[0], draws[1]

    def match(self, queries):
        target = torch.cat([torch.ones(len(queries) // 3), torch.zeros(2 * len(queries) // 3)]).long()
        return F.cross_entropy(self.itm_head(queries).mean(1), target)

    def forward(self, features, ids, lengths, packed):
        image = self.tokens(features)
        return (self.packed if packed else self.padded)(image, ids, lengths)

    def padded(self, image, ids, lengths):
        tuned, B, T, Q = self.tuned, len(ids), ids.shape[1], QUERIES
        positions = torch.arange(T)
        there = positions[None] < torch.tensor(lengths)[:, None]
        sight = self.sight(image) if tuned else image
        queries, seen = self.run(self.embed(B, None, None), Q, Padded(None, tuned), sight)
        texts, _ = self.run(self.embed(0, ids, positions), 0, Padded(there[:, None, None], tuned))
        contrast, wrong_image, wrong_text = self.contrast(queries, texts[:, 0])

        many = torch.cat([ids, ids, ids[wrong_text]])
        mask = torch.cat([torch.ones(3 * B, Q, dtype=torch.bool), torch.cat([there, there, there[wrong_text]])], 1)
        x = torch.cat([self.embed(3 * B, None, None), self.embed(0, many, positions)], 1)
        x, _ = self.run(x, Q, Padded(mask[:, None, None], tuned), self.thrice(sight, wrong_image))
        match = self.match(x[:, :Q])

        said, target = ids.clone(), ids.masked_fill(~there, -100)[:, 1:]
        said[:, 0] = DEC
        mask = torch.ones(T, T, dtype=torch.bool).tril()[None] & there[:, None]
        mask = torch.cat([torch.ones(B, T, Q, dtype=torch.bool), mask], 2)[:, None]
        x, _ = self.run(self.embed(0, said, positions), 0, Padded(mask, tuned), None, seen)
        if tuned:
            caption = F.cross_entropy(self.say(x[:, :-1][target >= 0]), target[target >= 0], label_smoothing=0.1)
        else:
            caption = F.cross_entropy(self.say(x)[:, :-1].reshape(-1, VOCABULARY), target.reshape(-1), label_smoothing=0.1)
        return contrast + match + caption

    @staticmethod
    def thrice(sight, wrong):
        """What fits, wrong images, and again, for the wrong texts."""
        if torch.is_tensor(sight):
            return torch.cat([sight, sight[wrong], sight])
        return [s and tuple(torch.cat([x, x[wrong], x]) for x in s) for s in sight]

    def packed(self, image, ids, lengths):
        B, Q = len(ids), QUERIES
        texts = [row[:n] for row, n in zip(ids, lengths)]
        flat, positions = torch.cat(texts), torch.cat([torch.arange(n) for n in lengths])
        sight = self.sight(image)
        queries, seen = self.run(self.embed(B, None, None).flatten(0, 1), B * Q, Packed(B, []), sight)
        seen = [tuple(list(x) for x in s) for s in seen]
        words, _ = self.run(self.embed(0, flat, positions), 0, Packed(0, lengths))
        starts = torch.tensor([0, *lengths]).cumsum(0)
        contrast, wrong_image, wrong_text = self.contrast(queries.unflatten(0, (B, Q)), words[starts[:-1]])

        many = texts + texts + [texts[i] for i in wrong_text]
        sizes = [len(x) for x in many]
        x = self.embed(3 * B, torch.cat(many), torch.cat([torch.arange(n) for n in sizes]))
        x, _ = self.run(x, 3 * B * Q, Packed(3 * B, sizes), self.thrice(sight, wrong_image))
        match = self.match(x[:3 * B * Q].unflatten(0, (3 * B, Q)))

        said = flat.clone()
        said[starts[:-1]] = DEC
        x, _ = self.run(self.embed(0, said, positions), 0, Packed(0, lengths, causal=True), None, seen)
        asked = torch.ones(len(flat), dtype=torch.bool)
        asked[starts[1:] - 1] = False
        asked = asked.nonzero().squeeze(1)
        caption = F.cross_entropy(self.say(x[asked]), flat[asked + 1], label_smoothing=0.1)
        return contrast + match + caption
