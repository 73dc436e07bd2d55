// catch.h - Catch2, with CHECK as tests mean it; instead of <catch2/catch.hpp> where core/check.h is included too.
#pragma once

#include "core/check.h"
#undef CHECK
#include <catch2/catch.hpp>
