"""`make bench`: every measurement, one after the other."""

from bench import sync

if __name__ == "__main__":
    sync.main()
