"""Résumés that are made up from a seed, with the exact place of each entity."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from random import Random
from typing import TYPE_CHECKING, Final

from tutelage.tasks.ner.documents import Document, Span

if TYPE_CHECKING:
    from faker import Faker

SKILLS: Final = (
    "Python", "Java", "C++", "C#", "Go", "Rust", "SQL", "R", "Scala", "Kotlin", "TypeScript",
    "React", "Angular", "Node.js", "Django", "Spring Boot", "PyTorch", "TensorFlow", "pandas",
    "Apache Spark", "Kafka", "Airflow", "dbt", "Docker", "Kubernetes", "Terraform", "Ansible",
    "AWS", "Azure", "Google Cloud", "Linux", "Git", "Jenkins", "GitLab CI", "PostgreSQL", "MongoDB",
    "Redis", "Elasticsearch", "GraphQL", "REST APIs", "gRPC", "machine learning", "deep learning",
    "computer vision", "natural language processing", "time series forecasting", "A/B testing",
    "statistics", "data visualisation", "Tableau", "Power BI", "Excel", "SAP", "Salesforce",
    "project management", "Scrum", "Kanban", "stakeholder management", "budgeting", "negotiation",
    "public speaking", "technical writing", "copywriting", "SEO", "Google Analytics", "Figma",
    "Photoshop", "Illustrator", "AutoCAD", "SolidWorks", "MATLAB", "Simulink", "LabVIEW", "PLC",
    "CAN bus", "embedded C", "FPGA design", "VHDL", "PCB layout", "robotics", "ROS", "welding",
    "CNC machining", "quality assurance", "Six Sigma", "lean manufacturing", "supply chain",
    "bookkeeping", "auditing", "tax law", "contract law", "payroll", "recruiting", "mentoring",
    "first aid", "patient care", "phlebotomy", "clinical trials", "pharmacovigilance", "PCR",
    "flow cytometry", "HPLC", "lesson planning", "classroom management", "translation", "Spanish",
    "German", "French", "Mandarin", "Arabic", "customer service", "cash handling", "barista work",
)  # fmt: skip
_PRACTICES: Final = (
    "regular code reviews", "a weekly newsletter", "the office move", "a team of {n}",
    "quarterly reports", "the on-call rota", "{n} new clients", "a migration that took {n} weeks",
    "the summer programme", "training for new staff", "a budget of {n} thousand dollars",
    "the customer portal", "process documents", "the annual conference",
)  # fmt: skip
_VERBS: Final = ("Led", "Built", "Organised", "Maintained", "Introduced", "Supported", "Planned")
_MONTHS: Final = ("%B %Y", "%b %Y", "%m/%Y", "%Y", "%Y-%m")


@dataclass
class _Writer:
    """A résumé while it is written: its text so far, and the entities in it."""

    faker: Faker
    random: Random
    text: str = ""
    spans: list[Span] = field(default_factory=list)

    def say(self, text: str, label: str = "") -> _Writer:
        """Write on; a label makes an entity of it."""
        if label:
            self.spans.append(Span(len(self.text), len(self.text) + len(text), label))
        self.text += text
        return self

    def one_of(self, *ways: str) -> str:
        """Draw one of some ways to say a thing."""
        return self.random.choice(ways)

    def skills(self, count: int, between: str) -> None:
        """Write skills, each an entity."""
        for n, skill in enumerate(self.random.sample(SKILLS, count)):
            self.say(between if n else "").say(skill, "skill")


@dataclass(frozen=True, slots=True)
class _Person:
    name: str
    email: str
    months: str


def make_resumes(count: int, seed: int) -> Iterator[Document]:
    """Yield résumés whose entities are name, email, job, employer, school, skill and date.

    The n-th résumé depends on the seed and n alone.

    Args:
        count: How many.
        seed: Seed of everything in them.

    Raises:
        ImportError: Faker is not installed; it comes with the extra ``ner``.
    """
    from faker import Faker

    faker = Faker("en_US")
    for n in range(count):
        faker.seed_instance(f"resume {seed} {n}")
        writer = _Writer(faker, faker.random)
        _write(writer)
        yield Document.of_text(f"resume-{n}", writer.text, writer.spans, where=f"resume {n}")


def _write(writer: _Writer) -> None:
    person = _person(writer)
    _header(writer, person)
    parts: list[Callable[[_Writer, _Person], None]] = [_experience, _education, _skills]
    if writer.random.random() < 0.5:
        parts.append(_summary)
    writer.random.shuffle(parts)
    for part in parts:
        part(writer, person)
    if writer.random.random() < 0.3:
        writer.say(writer.one_of("\nReferences: ", "\nReferee: ", "\nContact for references: "))
        writer.say(writer.faker.name(), "name").say(", ").say(writer.faker.company(), "employer")
        writer.say("\n")


def _person(writer: _Writer) -> _Person:
    first, last = writer.faker.first_name(), writer.faker.last_name()
    middle = writer.one_of("", "", f" {writer.faker.random_uppercase_letter()}.")
    local = writer.one_of(
        f"{first}.{last}", f"{first[0]}{last}", f"{last}{writer.random.randrange(99)}"
    )
    email = f"{local.lower()}@{writer.faker.free_email_domain()}"
    return _Person(f"{first}{middle} {last}", email, writer.random.choice(_MONTHS))


def _header(writer: _Writer, person: _Person) -> None:
    if writer.random.random() < 0.3:
        writer.say(writer.one_of("Curriculum vitae of ", "Name: ", "Résumé: "))
    name = person.name.upper() if writer.random.random() < 0.15 else person.name
    writer.say(name, "name").say(writer.one_of("\n", " | ", ", "))
    if writer.random.random() < 0.5:
        writer.say(writer.faker.job(), "job").say(writer.one_of("\n", " | "))
    if writer.random.random() < 0.5:
        writer.say(f"{writer.faker.street_address()}, {writer.faker.city()}\n")
    writer.say(writer.one_of("", "E-mail: ", "Mail ", "✉ ")).say(person.email, "email")
    if writer.random.random() < 0.6:
        writer.say(writer.one_of(" | ", ", ", "\n")).say(writer.faker.phone_number())
    writer.say("\n\n")


def _summary(writer: _Writer, person: _Person) -> None:
    writer.say(writer.one_of("Summary\n", "About me: ", "Profile\n"))
    writer.say(writer.faker.job(), "job").say(f" with {writer.random.randint(2, 30)} years in ")
    writer.skills(2, " and ")
    writer.say(". ").say(writer.faker.sentence()).say("\n\n")


def _experience(writer: _Writer, person: _Person) -> None:
    writer.say(writer.one_of("Experience\n", "WORK HISTORY\n", "Employment:\n", "Career\n"))
    year = 2024 - writer.random.randint(0, 3)
    for n in range(writer.random.randint(1, 4)):
        begin = year - writer.random.randint(1, 6)
        _position(writer, person, begin, None if n == 0 and year == 2024 else year)
        year = begin
    writer.say("\n")


def _position(writer: _Writer, person: _Person, begin: int, end: int | None) -> None:
    job, employer = writer.faker.job(), writer.faker.company()
    style = writer.random.randrange(3)
    if style == 0:
        _period(writer, person, begin, end)
        writer.say(": ").say(job, "job").say(writer.one_of(" at ", ", ")).say(employer, "employer")
    elif style == 1:
        writer.say(employer, "employer").say(writer.one_of(" — ", ", ")).say(job, "job").say(" (")
        _period(writer, person, begin, end)
        writer.say(")")
    else:
        writer.say(job, "job").say("\n").say(employer, "employer").say(" | ")
        _period(writer, person, begin, end)
    writer.say("\n")
    for _ in range(writer.random.randint(0, 3)):
        what = writer.random.choice(_PRACTICES).format(n=writer.random.randint(2, 90))
        writer.say(f"{writer.one_of('- ', '• ', '')}{writer.random.choice(_VERBS)} {what}")
        if writer.random.random() < 0.5:
            writer.say(writer.one_of(" with ", " using ", " by means of "))
            writer.skills(1, "")
        writer.say(".\n")


def _period(writer: _Writer, person: _Person, begin: int, end: int | None) -> None:
    _date(writer, person, begin)
    writer.say(writer.one_of(" - ", " – ", " to "))
    if end is None:
        writer.say(writer.one_of("present", "today", "now"))
    else:
        _date(writer, person, end)


def _date(writer: _Writer, person: _Person, year: int) -> None:
    day = date(year, writer.random.randint(1, 12), 1)
    writer.say(day.strftime(person.months), "date")


def _education(writer: _Writer, person: _Person) -> None:
    writer.say(writer.one_of("Education\n", "EDUCATION AND TRAINING\n", "Studies:\n"))
    for _ in range(writer.random.randint(1, 2)):
        town, family = writer.faker.city(), writer.faker.last_name()
        school = writer.one_of(
            f"University of {town}", f"{family} College", f"{town} State University"
        )
        degree = writer.one_of("BSc", "MSc", "B.A.", "PhD", "Diploma", "MBA")
        field_of = writer.one_of("Economics", "Physics", "History", "Informatics", "Nursing", "Law")
        writer.say(f"{degree} {writer.one_of('in ', '')}{field_of}, ").say(school, "school")
        writer.say(writer.one_of(", ", " ("))
        closing = ")" if writer.text.endswith("(") else ""
        _date(writer, person, writer.random.randint(1985, 2023))
        writer.say(f"{closing}\n")
    writer.say("\n")


def _skills(writer: _Writer, person: _Person) -> None:
    writer.say(writer.one_of("Skills: ", "SKILLS\n", "Knowledge of ", "Tools and methods: "))
    writer.skills(writer.random.randint(3, 9), writer.one_of(", ", " · ", "; ", "\n"))
    writer.say("\n\n")
