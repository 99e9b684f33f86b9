"""Masking who wrote an answer: "I am ChatGPT, trained by OpenAI" says which model it was, not how good it is.

People who judged knew no names, and a judge that learns "answers by X win" predicts the past of a leaderboard. So
names of models and of their makers give way to neutral words, but only where an answer speaks about itself: "I am",
"my name is", "As ..., I", "I was trained by", "an AI developed by", "... created me". An answer that has a maker or a
model as its topic stays as it is. English only; in a story, a character called Claude who introduces himself is
masked too.

A text is cut into names and the stretches between them. Whether a name is masked depends on these stretches, and on
nothing else but whether it can stand for a speaker at all; the neutral words count as names themselves. That is why
masking twice changes nothing. Each stretch is read only near the names, by patterns without nested repetition of the
same characters, so the time grows with the length of the text and with nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

MAX_GROWTH: Final = 4
"""A masked text has at most this many times the characters: the worst is a list of three-letter makers."""

_NEAR_CHARS: Final = 160
"""How far before and after a name its context is read: a claim and its apposition, not a paragraph."""

_Role: TypeAlias = Literal["speaker", "other", "basis", "maker"]

_WORDS: Final[dict[_Role, str]] = {
    "speaker": "an AI assistant",
    "other": "another AI assistant",
    "basis": "an AI assistant",
    "maker": "its developer",
}

# --- names -------------------------------------------------------------------------------------------------------

# No ordinary words: recognised however they are spelt, also after an article.
_UNMISTAKABLE = (
    r"Chat\ ?GPT|(?:Instruct)?GPT|text-davinci|OpenAI|Open\ AI|Anthropic|DeepMind|DeepSeek|CodeLlama|Mixtral|"
    r"Mistral\ AI|Ministral|Codestral|Qwen|QwQ|Tongyi\ Qianwen|ChatGLM|GLM(?=-?\d)|Baichuan|InternLM|ERNIE\ Bot|"
    r"Doubao|Hunyuan|StableLM|Stable\ ?Beluga|OpenAssistant|Open\ Assistant|WizardLM|OpenHermes|Nous[ -]Hermes|"
    r"OpenChat|OLMo|Nemotron|DBRX|SmolLM|RWKV|MPT(?=-\d)|LaMDA|FLAN-T5|FastChat(?:-T5)?|GPT4All|GPT-J|GPT-NeoX?|"
    r"Google\ Assistant|Bing\ Chat|Jurassic-2|Yi(?=-\d)|Phi(?=-?\d)"
)
# First names, animals, star signs: only capitalised, and after an article only where a noun such as "model" follows.
_AMBIGUOUS = (
    r"Claude|Gemini|Gemma|Llama|LLaMA|LLaMa|Bard|PaLM|Mistral|Alpaca|Vicuna|Guanaco|Koala|Dolly|MOSS|Kimi|MiniMax|"
    r"Falcon|Zephyr|Hermes|T[uü]lu|SOLAR|Starling|Orca|Grok|Command[ -]R|Jamba|Granite|Copilot|Bing|Cortana|Alexa|"
    r"Siri|Reka|Aya|BLOOMZ?"
)
# Companies and institutions that do other things as well: never a speaker, only somebody's maker.
_MAKER = (
    r"Google\ DeepMind|Google\ AI|Google\ Research|Google|Meta\ AI|Meta|Facebook\ AI\ Research|Facebook|"
    r"Microsoft\ Research|Microsoft|Alibaba\ Cloud|Alibaba\ Group|Alibaba|Zhipu\ AI|Zhipu|01[. ]AI|Moonshot\ AI|Baidu|"
    r"Tencent|ByteDance|SenseTime|Shanghai\ AI\ Lab(?:oratory)?|Stability\ AI|Databricks|MosaicML|Hugging\ ?Face|"
    r"LAION|LMSYS(?:\ Org)?|Large\ Model\ Systems\ Organization|Stanford\ University|Stanford|UC\ Berkeley|BAIR|"
    r"Berkeley(?:\ (?:AI|Artificial\ Intelligence)\ Research)?|Tsinghua\ University|Fudan\ University|Nous\ Research|"
    r"Technology\ Innovation\ Institute|TII|NVIDIA|Nvidia|IBM|Amazon|AWS|Apple|xAI|X\.AI|Cohere(?:\ [Ff]or\ AI)?|"
    r"AI21(?:\ Labs)?|Inflection\ AI|Inflection|AI2|Allen\ Institute\ for\ (?:AI|Artificial\ Intelligence)|Snowflake|"
    r"Reka\ AI|Upstage|Salesforce|Together\ AI|EleutherAI|LG\ AI\ Research"
)
_VERSION = (
    r"(?:[ -]?(?:[vV]?\d+(?:\.\d+)*[A-Za-z]{0,2}|Pro|Ultra|Flash|Nano|Turbo|turbo|Plus|Instruct|instruct|Chat|chat|"
    r"Opus|Sonnet|Haiku|Instant|Large|Medium|Small|Nemo|Max|Advanced|preview|[Mm]ini|Coder|hf|it)(?!\w)){0,4}"
)
_AI_NOUN = r"(?:(?:[Ll]anguage\ )?[Mm]odels?|AI|LLM|(?:[Cc]hat)?[Bb]ot|[Aa]ssistant|[Ss]ystem|[Pp]rogram)"
_ADJECTIVE = (
    r"(?:(?:large|small|open|open-source|open-weights?|conversational|multimodal|helpful|generative|virtual|advanced|"
    r"AI|language|chat)\ )"
)
_ARTICLE = r"(?:(?:an?|the)\ )"
_POSSESSIVE = r"(?:['’]s)"
_OF_MAKER = rf"(?:(?:{_MAKER}|OpenAI|Anthropic){_POSSESSIVE}?\ )"
_WHAT_IT_IS = rf"(?:{_POSSESSIVE}?\ {_ADJECTIVE}{{0,3}}(?:{_AI_NOUN}|architecture|family|series))"

_NAME: Final = re.compile(
    rf"""(?<!\w)(?=[A-Za-z0-9])(?:
      (?P<neutral_speaker>{re.escape(_WORDS["speaker"])}|{re.escape(_WORDS["other"])})
    | (?P<neutral_maker>{re.escape(_WORDS["maker"])})
    | (?P<model>
        {_ARTICLE}?{_OF_MAKER}?(?i:{_UNMISTAKABLE}){_VERSION}{_WHAT_IT_IS}?
      | {_ARTICLE}?{_OF_MAKER}?(?:{_AMBIGUOUS}){_VERSION}{_WHAT_IT_IS}
      | {_OF_MAKER}?(?:{_AMBIGUOUS}){_VERSION}
      | {_ARTICLE}?(?:{_MAKER})(?:{_POSSESSIVE}|-(?:trained|developed|made|built))?\ {_ADJECTIVE}{{0,3}}{_AI_NOUN}
      )
    | (?P<maker>{_MAKER})
    )(?!\w)""",
    re.VERBOSE,
)

# --- what stands around them; each run of white space has become one space or line break -----------------------------

_I_AM = r"(?:[Ii]\s+am|[Ii]['’]?m|I\s+was|I\s+have\s+been|I['’]ve\s+been)"
_ADVERB = (
    r"(?:(?:actually|just|really|indeed|also|still|in\s+fact|simply|only|currently|originally|initially|specifically|"
    r"proudly|primarily|mainly|recently|jointly|first)\s+)"
)
_MADE = (
    r"(?:pre-?trained|trained|created|developed|made|built|designed|programmed|fine-?tuned|provided|owned|operated|"
    r"maintained|released|powered|hosted|deployed|engineered|brought\s+to\s+you)"
)
_MADE_LIST = rf"{_MADE}(?:(?:\s*,\s*|\s+and\s+|\s*,\s*and\s+){_ADVERB}?{_MADE}){{0,3}}"
_PEOPLE = (
    r"(?:teams?|researchers|engineers|scientists|developers|people|folks|company|organi[sz]ation|lab|group|experts)"
)
_TEAM = (
    rf"(?:(?:[\w-]+\s+){{0,4}}?{_PEOPLE}\s+(?:of\s+(?:[\w-]+\s+){{0,4}}?{_PEOPLE}\s+)?"
    r"(?:(?:at|from|of|in|called|named|known\s+as)\s+)?)"
)
_BY = rf"(?:by|from|at)\s+(?:the\s+)?{_TEAM}?"
_BASED = r"(?:based|built|running|trained)\s+(?:on|upon|on\s+top\s+of)\s+(?:the\s+)?"
_MADE_BY = rf"(?:(?:that|which|who)\s+)?(?:(?:was|is|were|am|has\s+been|have\s+been)\s+)?{_ADVERB}?{_MADE_LIST}\s+"
# Not over a preposition or a verb: "I am a fan of the model made by" is about somebody else.
_WORD = r"(?:(?!(?:of|with|at|in|on|who|that|which|to|for|using|about|like|from|by|than|and)\b)[\w'’/()-]+\s+)"
_DESCRIPTION = rf"(?:an?|the|your|one\s+of\s+the)\s+{_WORD}{{0,7}}?{_AI_NOUN}(?:\s*\([^()]{{0,20}}\))?"
_CLAUSE_OPENS = (
    r"(?:\A|[.!?:;,\"“(*>\n-]\s*|\b(?:but|and|however|so|that|because|since|while|[Ss]peaking|[Aa]cting)\s+)"
)

_SPEAKS: Final = re.compile(
    rf"""(?<!\w)(?:
      (?:(?:[Ii]\s+am|[Ii]['’]?m)\s+|[Mm]y\s+(?:(?:full|default|given|real)\s+)?name\s+is\s+
        |(?:[Cc]all|[Nn]amed?)\s+me\s+|I\s+go\s+by\s+)
      {_ADVERB}{{0,2}}(?P<other>not\s+)?{_ADVERB}?(?:(?:called|named|known\s+as|referred\s+to\s+as)\s+)?
    | I\s+was\s+(?:called|named)\s+
    )\Z""",
    re.VERBOSE,
)
_SPEAKS_AS: Final = re.compile(rf"{_CLAUSE_OPENS}[Aa]s\s+\Z")
_SPEAKS_AFTER_I: Final = re.compile(r"(?<!\w)I,\s+\Z")
_NAME_ENDS: Final = re.compile(
    r"\s*(?:\Z|[.,;:!?()\[\]\"”“*_\n—–]|-(?!\w)|['’](?!\w)|(?:and|an?|but|or|here|by|from|to|not|who|which|that|at|in|"
    rf"on|as|with|for|so|because|though|speaking|called|named|known|{_MADE})(?!\w))"
)
_THEN_I: Final = re.compile(rf"\s*,(?:\s*(?:I|my|me|we|our)\b|\s+{_DESCRIPTION})")
_I_FOLLOWS: Final = re.compile(r"[^.!?\n]*\b(?:I|my|me|we|our)\b|\s*,?\s*(?:and|which|that|but|not)\b")
_DESCRIBED: Final = re.compile(
    rf"""(?:(?<!\w){_I_AM}|(?P<as>{_CLAUSE_OPENS}[Aa]s))\s+{_ADVERB}?{_DESCRIPTION},?\s+
    (?:(?P<maker>(?:{_MADE_BY})?{_BY})|(?P<basis>(?:{_MADE_BY})?{_BASED})|(?P<speaker>(?:called|named|known\s+as)\s+))\Z
    """,
    re.VERBOSE,
)
_MADE_ME: Final = re.compile(
    rf"""(?<!\w)(?:
      (?:{_I_AM}\s+(?:not\s+)?{_ADVERB}{{0,2}}|[Bb]eing\s+){_MADE_LIST}\s+{_BY}
    | (?P<basis>{_I_AM}\s+(?:not\s+)?{_ADVERB}{{0,2}}{_BASED}|I\s+(?:currently\s+)?run\s+on\s+|{_I_AM}\s+powered\s+by\s+
        |[Mm]y\s+(?:architecture|model|design|technology|knowledge|training)\s+is\s+{_BASED})
    | [Mm]y\s+(?:creator|developer|maker|designer|trainer)s?(?:\s+(?:is|are|was|were|at|from)\s+|\s*,\s*|\s+)
    )\Z""",
    re.VERBOSE,
)
_LINKED: Final = re.compile(
    rf"""(?:\s*,?\s+(?:{_DESCRIPTION}\s*,?\s+)?(?:and\s+(?:I\s+)?)?
          (?:(?P<maker>(?:{_MADE_BY})?{_BY})|(?P<basis>(?:{_MADE_BY})?{_BASED}|powered\s+by\s+)
            |(?P<speaker>(?:also\s+)?(?:called|named|known\s+as|or)\s+))
      |  \s*,\s+(?P<product>the\s+(?:company|organi[sz]ation|team|lab|creators?|makers?)\s+(?:behind|of)\s+)
      |  \s*,?\s*(?:but\s+)?(?P<other>(?:and\s+)?not\s+)
      )""",
    re.VERBOSE,
)
_LISTED: Final = re.compile(r"\s*(?:,|/|&|\(|,?\s*(?:and|or|in\s+collaboration\s+with|together\s+with))\s*(?:the\s+)?")
_LIST_ENDS: Final = re.compile(r"\s*(?:\Z|[.,;:!?()/&\n]|(?:and|or)\b)")
_DID_IT: Final = re.compile(
    rf"""\s*,?\s*(?:(?:who|which|that|the\s+(?:company|organi[sz]ation|team|lab)(?:\s+(?:that|which|who))?)\s+)?
    (?:(?:has|have)\s+)?{_ADVERB}?
    (?:(?:trained|created|developed|built|designed|programmed)\s+me\b
      |made\s+me(?=\s*(?:\Z|[.,;!?\n]))
      |(?:is\s+)?my\s+(?:creator|developer|maker|designer)s?\b)""",
    re.VERBOSE,
)
_SPACES: Final = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class _Name:
    """A name in a text, or neutral words that took the place of one.

    Attributes:
        start: of the name.
        end: of the name.
        neutral: whether it is neutral words, which stay as they are.
        may_speak: whether it can be a speaker's, not only a maker's.
        before: what stands near before it, up to the name before.
        after: what stands near after it, up to the next name.
        adjacent: whether `before` is all that stands between it and the name before.
    """

    start: int
    end: int
    neutral: bool
    may_speak: bool
    before: str
    after: str
    adjacent: bool


def mask_identity(text: str) -> str:
    """Replace the names in phrases by which a text says who speaks or who made the speaker.

    Args:
        text: an answer.

    Returns:
        The text with neutral words; the same object where there was nothing to mask. Masking it again changes
        nothing, and it is at most `MAX_GROWTH` times as long.
    """
    pieces: list[str] = []
    done = 0
    role: _Role | None = None
    for name in _names(text):
        role = _role(name, role)
        if role is not None and not name.neutral:
            pieces += (text[done : name.start], _WORDS[role])
            done = name.end
    if not pieces:
        return text
    return "".join((*pieces, text[done:]))


def _names(text: str) -> Iterator[_Name]:
    matches = list(_NAME.finditer(text))
    for position, match in enumerate(matches):
        start, end = match.span()
        previous_end = matches[position - 1].end() if position else 0
        next_start = matches[position + 1].start() if position + 1 < len(matches) else len(text)
        near = max(previous_end, start - _NEAR_CHARS)
        yield _Name(
            start,
            end,
            neutral=match["neutral_speaker"] is not None or match["neutral_maker"] is not None,
            may_speak=match.lastgroup in ("model", "neutral_speaker"),
            before=_SPACES.sub(_shortest, text[near:start]),
            after=_SPACES.sub(_shortest, text[end : min(next_start, end + _NEAR_CHARS)]),
            adjacent=position > 0 and near == previous_end,
        )


def _shortest(spaces: re.Match[str]) -> str:
    return "\n" if "\n" in spaces[0] else " "


def _role(name: _Name, previous: _Role | None) -> _Role | None:
    """What a name stands for in a phrase about the speaker; None elsewhere.

    Args:
        name: the name with its context.
        previous: role of the name before it.
    """
    return (
        (_linked(name, previous) if previous and name.adjacent else None)
        or _described(name)
        or ("maker" if _DID_IT.match(name.after) else None)
        or (_speaker(name) if name.may_speak else None)
    )


def _linked(name: _Name, previous: _Role) -> _Role | None:
    """The role of a name that goes on with the phrase of the one before: "I am X, a model made by Y and Z"."""
    if match := _LINKED.fullmatch(name.before):
        if match["maker"]:
            return "maker"
        if match["basis"] or match["product"]:
            return "basis"
        if name.may_speak and previous in ("speaker", "other") and _NAME_ENDS.match(name.after):
            return "other" if match["other"] else "speaker"
    if previous == "maker" and _LISTED.fullmatch(name.before) and _LIST_ENDS.match(name.after):
        return "maker"
    return None


def _described(name: _Name) -> _Role | None:
    """The role of a name that closes a description of the speaker: "I am a model trained by X"."""
    if match := _MADE_ME.search(name.before):
        return "basis" if match["basis"] else "maker"
    match = _DESCRIBED.search(name.before)
    if not match or (match["as"] is not None and not _I_FOLLOWS.match(name.after)):
        return None
    if match["speaker"]:
        return "speaker" if name.may_speak else None
    return "basis" if match["basis"] else "maker"


def _speaker(name: _Name) -> _Role | None:
    """The role of a name that the speaker bears: "I am X", "As X, I"."""
    if match := _SPEAKS.search(name.before):
        if not _NAME_ENDS.match(name.after):
            return None  # "I am Claude Monet", "I'm Gemini rising"
        return "other" if match["other"] else "speaker"
    if _SPEAKS_AS.search(name.before) and _THEN_I.match(name.after):
        return "speaker"
    if _SPEAKS_AFTER_I.search(name.before) and name.after.startswith(","):
        return "speaker"
    return None
