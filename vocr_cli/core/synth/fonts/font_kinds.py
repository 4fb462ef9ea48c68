"""Which families are written by hand, are made for signs, or set all characters equally wide; by name."""

from __future__ import annotations

from functools import lru_cache

HAND = (
    "alex brush|allison|allura|amatic|arizonia|babylonica|bad script|ballet|bilbo|birthstone|"
    "borel|carattere|charm|comforter|corinthia|dancing script|ephesis|estonia|explora|farsan|"
    "fuggles|fuzzy bubbles|gluten|grape nuts|great vibes|gwendolyn|hurricane|imperial script|"
    "inspiration|island moments|italianno|itim|kolker brush|love light|luxurious script|mali|"
    "mansalva|mea culpa|meow script|merienda|miama|montecarlo|moon dance|ms madi|my soul|"
    "mynerve|pacifico|pangolin|passions conflict|patrick hand|petemoss|pinyon|playpen|praise|"
    "puppies play|qwigley|qwitcher|ruthie|sedgwick|send flowers|seto|shantell|sriracha|"
    "story script|style script|water brush|waterfall|whisper|windsong|caveat|kalam|tapestry"
).split("|")

WRITTEN = (
    "amatic|bad script|charm|dancing script|farsan|fuggles|fuzzy bubbles|gluten|grape nuts|itim|"
    "mali|mansalva|mynerve|pangolin|patrick hand|playpen|sedgwick|seto|shantell|sriracha|"
    "merienda|caveat|kalam|borel"
).split("|")
"""The hands of everyday writing, not of wedding cards."""

DISPLAY = (
    "agbalumo|alfa slab|alumni|anton|anybody|bahianita|bangers|barriecito|bevan|big shoulders|"
    "black ops|bungee|calistoga|cherry bomb|chokokutai|chonburi|coiny|comfortaa|dela gothic|"
    "fjalla|fruktur|ga maamli|goldman|grenze|handjet|jaro|kings|lalezar|league gothic|lemonada|"
    "limelight|lobster|luckiest|major mono|museomoderno|oi|oswald|patrick hand sc|pattaya|"
    "playball|playfair display|poiret|red rose|rowdies|saira stencil|sansita swashed|sigmar|"
    "smooch|srisakdi|tac one|tektur|texturina|tilt|tourney|truculenta|unbounded|unica|viaoda|"
    "voltaire|yeseva"
).split("|")

MONO = (
    "mono|courier|cousine|inconsolata|vt323|agave|freemono|source code|google sans code|cascadia code".split(
        "|"
    )
)


@lru_cache(maxsize=4096)
def kind_of(family: str) -> str:
    """`hand`, `mono`, `display` or `text`."""
    name = family.lower()
    for kind, families in (("hand", HAND), ("display", DISPLAY), ("mono", MONO)):
        if any(part in name for part in families):
            return kind
    return "text"


def is_written(family: str) -> bool:
    """Whether a face looks like everyday handwriting."""
    return any(part in family.lower() for part in WRITTEN)
