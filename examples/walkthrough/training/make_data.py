"""Make `days.csv`: 600 days of trading as eight hourly changes of a price, of some thirty kinds. Always the same."""

import random

KINDS, DAYS, HOURS = 30, 600, 8


def main():
    generator = random.Random(2020)
    kinds = [[generator.gauss(0, 1) for _ in range(HOURS)] for _ in range(KINDS)]
    for day in range(DAYS):
        kind = kinds[day % KINDS]
        print(",".join(f"{hour + generator.gauss(0, 0.25):.3f}" for hour in kind))


if __name__ == "__main__":
    main()
