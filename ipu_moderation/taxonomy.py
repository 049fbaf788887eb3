"""What is looked for, who may be attacked, and how grave it is: each member with its guideline and its source."""

from __future__ import annotations

from enum import Enum


class _Documented(str, Enum):
    """A string enum whose members carry a guideline (what a careful reader asks) and the source of the distinction."""

    guideline: str
    source: str

    def __new__(cls, value: str, guideline: str = "", source: str = "") -> _Documented:  # looking a member up by its value gives the value alone
        member = str.__new__(cls, value)
        member._value_ = value
        member.guideline = guideline
        member.source = source
        return member

    def __str__(self) -> str:
        return str(self.value)


class Category(_Documented):
    """What a text may be evidence of. The first four are scored by the classifier, all are found by rules.

    Source: ICCPR art. 19(3) and 20(2); UN Strategy and Plan of Action on Hate Speech (2019; detailed guidance 2020); Rabat Plan of Action
    (A/HRC/22/17/Add.4); Human Rights Committee, General Comment 34.
    """

    HATE = (
        "hate",
        "Does the text attack, demean or exclude people because of a protected characteristic? Criticism of ideas, states or officials does not.",
        "UN Strategy and Plan of Action on Hate Speech, 2019, p. 2",
    )
    ABUSE = (
        "abuse",
        "Is the text offensive, insulting or profane towards somebody? Rude is not hateful.",
        "IPU, 128th Assembly, Quito 2013, resolution on the use of media, para. 3",
    )
    VIOLENCE = (
        "violence",
        "Does the text threaten, call for, wish for or glorify violence against people?",
        "ICCPR art. 20(2); UN Strategy, detailed guidance 2020",
    )
    INCITEMENT = (
        "incitement",
        "Does the text advocate hatred so that others are called to discrimination, hostility or violence against a group?",
        "ICCPR art. 20(2); Rabat Plan of Action, para. 29",
    )
    DEHUMANISATION = (
        "dehumanisation",
        "Are people of a group described as animals, vermin, disease, dirt, machines or demons?",
        "Dangerous Speech Project (Benesch), hallmarks of dangerous speech",
    )
    MOBILISATION = (
        "mobilisation",
        "Are people called to gather against others, with a time, a place, or things to bring?",
        "IPU, 128th Assembly, Quito 2013, preamble (organise and mobilise); Rabat Plan of Action, likelihood and imminence",
    )
    DEFAMATION_RISK = (
        "defamation_risk",
        "Is something that would seriously harm the reputation of an identifiable person or organisation put forward as fact, rumour or insinuation?",
        "General Comment 34, para. 47; IPU, Quito 2013, paras 13 and 17",
    )


#: The categories that a classifier scores, in the order of its columns.
SCORED: tuple[Category, ...] = (Category.HATE, Category.ABUSE, Category.VIOLENCE, Category.INCITEMENT)

#: Categories that may never lead further than review. Source: General Comment 34, paras 38 and 47; ECtHR, Lingens v. Austria (1986).
REVIEW_AT_MOST: frozenset[Category] = frozenset({Category.ABUSE, Category.DEFAMATION_RISK})


class TargetGroup(_Documented):
    """The characteristic because of which people are attacked: the eight of the Quito resolution, and four that practice needs."""

    GENDER = ("gender", "women, men", "IPU, Quito 2013, para. 6")
    AGE = ("age", "the young, the old, generations", "IPU, Quito 2013, para. 6")
    SOCIOECONOMIC = ("socioeconomic", "the poor, the homeless, social classes", "IPU, Quito 2013, para. 6")
    RESIDENCE = ("residence", "people of a region, a quarter, the countryside, a slum", "IPU, Quito 2013, para. 6")
    DISABILITY = ("disability", "people with a disability or an illness", "IPU, Quito 2013, para. 6")
    RELIGION = ("religion", "people of a faith, or of none", "IPU, Quito 2013, para. 6; ICCPR art. 20(2)")
    ETHNICITY = ("ethnicity", "ethnic groups, skin colour, indigenous peoples", "IPU, Quito 2013, para. 6; ICCPR art. 20(2)")
    POLITICAL = ("political", "supporters of parties and political views", "IPU, Quito 2013, para. 6")
    NATIONALITY = ("nationality", "nationals of a country, migrants, refugees, foreigners", "ICCPR art. 20(2); CERD General Recommendation 35")
    LGBTQ = ("lgbtq", "sexual orientation and gender identity", "Yogyakarta Principles; UN Strategy (other identity factor)")
    CASTE = ("caste", "castes and communities of descent", "CERD General Recommendation 29")
    PROFESSION = ("profession", "journalists, election workers, teachers and other callings under attack", "IPU, Quito 2013, para. 15")


class Tier(_Documented):
    """How grave, in the three levels of the UN Strategy; a first reading by machine, for the reviewer to correct."""

    NONE = ("none", "Nothing of concern was seen.", "ICCPR art. 19(2)")
    BOTTOM = ("bottom", "Lawful, though of concern: answered by other means than restriction.", "UN Strategy, detailed guidance 2020, bottom level")
    INTERMEDIATE = ("intermediate", "May be restricted under ICCPR art. 19(3), by law, if necessary and proportionate.", "UN Strategy, intermediate level")
    TOP = ("top", "Possible incitement, which states must prohibit (ICCPR art. 20(2)); the Rabat threshold test decides.", "UN Strategy, top level")
