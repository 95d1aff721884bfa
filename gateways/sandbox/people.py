"""Invented people who pay in the demo set: names in several alphabets, e-mail at example.com."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

# Given names and family names that go together. None of these is a real person's record.
_NAMES = (
    (
        "Anna Bruno Chloé Émile Ingrid José Łukasz Mária Renée Søren Ștefan Zoë",
        "Müller García Núñez Dvořák Kovács O'Brien Nuñez Ålund Popescu Wójcik Smith Jones",
    ),
    (
        "Анна Борис Дарья Игорь Олена Пётр Светлана Тарас",
        "Иванова Петров Шевченко Кузнецов Ковальчук Соколова",
    ),
    ("Αλέξανδρος Βασιλική Γιώργος Ελένη Νίκος Σοφία", "Παπαδόπουλος Νικολάου Γεωργίου Αντωνίου"),
    ("أحمد فاطمة خالد ليلى محمد نور", "الحسن العلي حداد منصور"),
    ("伟 芳 秀英 娜 敏 静", "王 李 张 刘 陈 杨"),
    ("さくら 健太 花子 翔太 結衣", "佐藤 鈴木 高橋 田中"),
    ("민준 서연 지우 하준", "김 이 박 최"),
    ("דוד נועה רחל יוסף", "כהן לוי מזרחי"),
)
_WEIGHTS = (50, 12, 8, 8, 8, 6, 4, 4)
_FAMILY_FIRST = (4, 5, 6)  # places in _NAMES


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who pays; processors may know neither name nor address."""

    name: str | None
    email: str | None


def make_people(random: Random, count: int) -> list[Person]:
    """That many different people; a few without a name, or without an address."""
    return [_make_person(random, number) for number in range(count)]


def _make_person(random: Random, number: int) -> Person:
    group = random.choices(range(len(_NAMES)), _WEIGHTS)[0]
    given = random.choice(_NAMES[group][0].split())
    family = random.choice(_NAMES[group][1].split())
    name = f"{family} {given}" if group in _FAMILY_FIRST else f"{given} {family}"
    word = given.lower() if given.isascii() else "customer"
    fate = random.random()
    return Person(
        name=None if fate < 0.03 else name,
        email=None if 0.02 < fate < 0.07 else f"{word}.{number + 1}@example.com",
    )
