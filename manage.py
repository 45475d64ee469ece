#!/usr/bin/env python
from dstack_web.manage import main

if __name__ == "__main__":
    main()
