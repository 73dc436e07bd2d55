// catch.h - Catch2, with CHECK as tests mean it. Include it before everything else.
#pragma once

// Headers with inline functions that use our CHECK come first: they must mean the same everywhere.
#include "core/check.h"
#include "runtime/sync.h"
#undef CHECK
#include <catch2/catch.hpp>
