// catch.h - Catch2, with CHECK as tests mean it. Include it before everything else.
#pragma once

#include "core/check.h"
#undef CHECK
#include <catch2/catch.hpp>
