"""reasoning-gym's verdicts on answers to our problems, by its own `score_answer`.

After its start prints `{"ready": true, ...}`. Each line of standard input is
  {"kind": our name of a family, "problems": [{"data", "answer", "texts"}]}
with a problem's data as src/tasks/families has it, its right answer in our notation, and answers to be judged in
reasoning-gym's notation. The reply is
  {"scores": [one list a problem], "labels": [...]}
where a label is the right answer that reasoning-gym's own code finds for the problem, in our notation, or null where that
code makes no answer from a problem, or knows no such problem. The scorer gets the right answer from us.
"""

import importlib.metadata
import json
import sys
from datetime import date, timedelta

from reasoning_gym import create_dataset
from reasoning_gym.games.tower_of_hanoi import MoveGenerator
from reasoning_gym.graphs.family_relationships import FamilyRelationshipsDataset, Gender, Person
from reasoning_gym.logic.knights_knaves import KnightsKnavesDataset
from reasoning_gym.logic.syllogisms import Quantifier, SyllogismDataset, Term

WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


def base_conversion(data, answer):
    value, digits = int(data["numeral"], data["from"]), ""
    while value:
        value, digit = divmod(value, data["to"])
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return {"answer": answer}, digits


def calendar(data, answer):
    asks = data["asks"]
    task = {"shifted": "weekday_offset", "weekday": "weekday_of_date_from_first_date", "date": "weekday_of_date", "count": "count_days"}[asks]
    end = None if asks == "shifted" else date.fromisoformat(data["to"])
    if asks == "shifted":
        label = WEEKDAYS[(WEEKDAYS.index(data["weekday"]) + data["days"]) % 7]
    elif asks == "count":
        start = date.fromisoformat(data["from"])
        days = range((end - start).days + 1)
        label = str(sum((start + timedelta(days=day)).strftime("%A") == data["counted"] for day in days))
    else:
        label = end.strftime("%A")
    return {"answer": answer, "metadata": {"task": task}}, label


def countdown(data, answer):
    return {"metadata": {"numbers": data["numbers"], "target": data["target"]}}, None


class OnePair:
    """A random generator that draws the two people of our question, and no others."""

    def __init__(self, *pair):
        self.pairs = [pair]

    def sample(self, _people, _count):
        return self.pairs.pop()


def family_relationships(data, answer):
    people = {}

    def person(name, gender):
        return people.setdefault(name, Person(name, gender, len(people)))

    for couple in data["couples"]:
        father, mother = person(couple["husband"], Gender.MALE), person(couple["wife"], Gender.FEMALE)
        father.add_spouse(mother)
        for child in couple["children"]:
            for parent in (father, mother):
                parent.add_child(person(child["name"], Gender(child["sex"])))
    pair = OnePair(people[data["person"]], people[data["other"]])
    dataset = create_dataset("family_relationships")
    try:
        label = FamilyRelationshipsDataset._get_relationship_question(dataset, pair, set(people.values()))[2].value
    except IndexError:  # It wants another pair, because it has no word for this one.
        label = None
    return {"answer": answer}, label


def graph_coloring(data, answer):
    colors = list(range(1, data["colors"] + 1))
    puzzle = {"vertices": list(range(data["vertices"])), "edges": data["edges"], "color_options": colors}
    return {"answer": None, "metadata": {"puzzle": puzzle}}, None


def statement(claim):
    op = claim["op"]
    if "who" in claim:
        return ("telling-truth" if op == "knight" else "lying", claim["who"])
    return ({"if": "->", "iff": "<=>"}.get(op, op), statement(claim["left"]), statement(claim["right"]))


def knights_and_knaves(data, answer):
    names = data["names"]
    solutions = KnightsKnavesDataset.find_solution([statement(claim) for claim in data["claims"]])
    assert len(solutions) == 1
    label = ", ".join(f"{name} is a {'knight' if true else 'knave'}" for name, true in zip(names, solutions[0]))
    return {"answer": ", and ".join(answer.rsplit(", ", 1)) + "."}, label


def mini_sudoku(data, answer):
    board = [[int(cell) if cell != "_" else 0 for cell in row] for row in data["rows"]]
    dataset = create_dataset("mini_sudoku")
    assert dataset._count_solutions([row[:] for row in board]) == 1
    dataset._solve(board)
    solution = [[int(cell) for cell in row] for row in answer.split(" ")]
    entry = {"answer": dataset._board_to_string(solution), "metadata": {"solution": solution}}
    return entry, " ".join("".join(map(str, row)) for row in board)


def number_sequence(data, answer):
    return {"answer": answer}, None


def syllogism(data, answer):
    forms = {"all": Quantifier.ALL, "no": Quantifier.NO, "some": Quantifier.SOME, "some-not": Quantifier.SOME_NOT}
    terms = {}

    def read(made):
        groups = [terms.setdefault(made[side], Term(made[side], made[side])) for side in ("subject", "predicate")]
        return (forms[made["form"]], *groups)

    valid = SyllogismDataset._is_valid_syllogism(*map(read, data["premises"]), read(data["conclusion"]))
    return {"answer": answer.capitalize()}, "yes" if valid else "no"


def tower_of_hanoi(data, answer):
    disks, start, target = len(data["start"]), data["start"][0] + 1, data["goal"][0] + 1
    moves = len(MoveGenerator(disks, list(range(1, data["pegs"] + 1)), start, target).generate_moves())
    metadata = {"num_disks": disks, "num_pegs": data["pegs"], "start_peg": start, "target_peg": target, "solution_length": moves}
    return {"metadata": metadata}, answer if moves == len(answer.split(", ")) else f"{moves} moves"


def word_sorting(data, answer):
    label = ", ".join(sorted(data["words"], reverse=data["reverse"]))
    return {"metadata": {"sorted_words": answer.split(", ")}}, label


FAMILIES = {
    "base-conversion": ("base_conversion", base_conversion),
    "calendar": ("calendar_arithmetic", calendar),
    "countdown": ("countdown", countdown),
    "family-relationships": ("family_relationships", family_relationships),
    "graph-coloring": ("graph_color", graph_coloring),
    "knights-and-knaves": ("knights_knaves", knights_and_knaves),
    "mini-sudoku": ("mini_sudoku", mini_sudoku),
    "number-sequence": ("number_sequence", number_sequence),
    "syllogism": ("syllogism", syllogism),
    "tower-of-hanoi": ("tower_of_hanoi", tower_of_hanoi),
    "word-sorting": ("word_sorting", word_sorting),
}


def judge(kind, problems):
    name, entry_of = FAMILIES[kind]
    dataset, scores, labels = create_dataset(name), [], []
    for problem in problems:
        entry, label = entry_of(problem["data"], problem["answer"])
        scores.append([float(dataset.score_answer(text, entry)) for text in problem["texts"]])
        labels.append(label)
    return {"scores": scores, "labels": labels}


print(json.dumps({"ready": True, "version": importlib.metadata.version("reasoning-gym")}), flush=True)
for line in sys.stdin:
    if line.strip() == "quit":
        break
    print(json.dumps(judge(**json.loads(line))), flush=True)
