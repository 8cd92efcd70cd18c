std = "lua54"
max_line_length = 140
exclude_files = { "build*/", "**/.weir/" }
ignore = { "212/self" }
files["spec/**/*.lua"] = { std = "+busted", max_line_length = 220 } -- tables of cases read best one a line
files["modules/skills/*/*.lua"] = { read_globals = { "json" } } -- of the sandbox
files["lua/weir/registry/environment.lua"] = { ignore = { "122" } } -- bounds what string.rep and its like may make
