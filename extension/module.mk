# What both libraries are built with.  Included after MODULE_big, OBJS and the
# like are set; brings PGXS in.

PG_CONFIG ?= pg_config

# WERROR= leaves warnings alone.
WERROR ?= -Werror
PG_CFLAGS += -Wextra -Wstrict-prototypes -Wmissing-prototypes $(WERROR)
# The server's own headers and callbacks are full of these.
PG_CFLAGS += -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers
# clang knows neither some of the flags that the server was built with nor gnu_printf.
ifneq ($(findstring clang,$(CC)),)
PG_CFLAGS += -Wno-unknown-warning-option -Wno-ignored-optimization-argument -Wno-ignored-attributes
endif
# Only what is marked PGDLLEXPORT leaves a library.  PostgreSQL 15 defines the mark as nothing, 16 as here.
PG_CFLAGS += -fvisibility=hidden
PG_CPPFLAGS += '-DPGDLLEXPORT=__attribute__((visibility("default")))'
# Which headers an object depends on.
PG_CFLAGS += -MMD -MP
EXTRA_CLEAN += $(OBJS:.o=.d)

# No bitcode: nothing here is inlined into queries.
override with_llvm := no

PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# A changed list of objects is a reason to link.
$(shlib): Makefile

-include $(OBJS:.o=.d)
