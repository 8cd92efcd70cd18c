--- Scripts that try to get out of the sandbox, to stay in it for ever, or to take the host with them: {title, body, expected,
--- options?}. The body is that of `function(ctx, input)`; expected is `true` (the script found its way barred and says so), a code, or a
--- list of codes. `OPEN` allows any end but that of the host: what a defect of the interpreter makes of the process is its own affair.
--- Sources of the shapes: the advisories of Redis on its Lua engine (CVE-2022-0543, 2022-24834, 2024-31449, 2024-46981,
--- 2025-46817, 2025-46818, 2025-49844), Lua's own list of bugs, and what reliability asks to be tried.

local M = {}

local OPEN = { "failed", "limit", "denied", "invalid", "timeout", true }

local function add(family, title, body, expected, options)
  M[#M + 1] = { family = family, title = title, body = body, expected = expected, options = options or {} }
end

-- Leftovers: what an embedding forgot to take away --------------------------------------------------------

for name in ([[package require debug io os dofile loadfile collectgarbage newproxy setfenv getfenv module unpack loadstring warn bit bit32
  struct cjson cmsgpack redis server ffi jit posix luv uv lfs socket ssl lpeg re weir arg _LOADED _PRELOAD process vim ngx host checkpoint
  scheduler secret store]]):gmatch "%S+" do
  add("leftovers", name, ("return %s == nil and _G.%s == nil and rawget(_G, %q) == nil"):format(name, name, name), true)
end
for field in ([[string.dump math.randomseed math.pow coroutine.yieldable table.unpackn table.create string.buffer utf8.graphemes json.decoder
  json.load table.foreach table.maxn string.gfind]]):gmatch "%S+" do
  add("leftovers", field, ("return %s == nil"):format(field), true)
end
add("leftovers", "what stands in _ENV", "return _ENV == _G and _ENV._ENV == nil", true)
add("leftovers", "a function of the host in a table of globals", [[
  local known = { ["function"] = true, table = true, string = true, number = true, userdata = true }
  for _, value in pairs(_G) do if not known[type(value)] then return false end end
  return true]], true)
add("leftovers", "the main thread's environment", "local co, main = coroutine.running() return main == true and type(co) == 'thread'", true)

-- Bytecode ------------------------------------------------------------------------------------------------

local CHUNK = [[local chunk = "\27Lua\x54\0\x19\x93\r\n\x1a\n\4\8\8xV\0\0\0\0\0\0\0\0\0\0\0(w@\1" ]]
add("bytecode", "load takes text only", CHUNK .. "return load(chunk) == nil", true)
add("bytecode", "mode b is not heard", CHUNK .. "return load(chunk, 'x', 'b') == nil", true)
add("bytecode", "mode bt is not heard", CHUNK .. "return load(chunk, 'x', 'bt') == nil", true)
add("bytecode", "text goes through mode b", "return load('return 7', 'x', 'b')() == 7", true)
add("bytecode", "bytecode in pieces", CHUNK .. [[
  local at = 0
  return load(function() at = at + 1 return at <= #chunk and chunk:sub(at, at) or nil end, 'x', 'b') == nil]], true)
add("bytecode", "bytecode after an empty first piece", CHUNK .. [[
  local list, at = { chunk }, 0
  return load(function() at = at + 1 return list[at] end) == nil]], true)
add("bytecode", "bytecode with globals of its own", CHUNK .. "return load(chunk, 'x', 'b', {}) == nil", true)
add("bytecode", "an escape byte in front of text", [[return load("\27return 1") == nil]], true)
add("bytecode", "a first line that a shell would read", [[return load("#!/bin/lua\n\27Lua") == nil]], true)
add("bytecode", "a byte order mark and then bytecode", [[return load("\xEF\xBB\xBF\27Lua") == nil]], true)
add("bytecode", "a damaged chunk", [[for i = 1, 2000 do load("\27Lua\x54\0" .. ("\xff"):rep(i)) end return true]], true)
add("bytecode", "a whole source of bytecode", "", "denied", { source = "\27Lua\x54" })
add("bytecode", "string methods have no dump", "return ('').dump == nil", true)
add("bytecode", "a source larger than 256 KiB", "return load(('-'):rep(300000)) == nil", true)
add("bytecode", "a source that never ends", "local f = load(function() return '--x' end) return f == nil", true)
add("bytecode", "a source whose reader raises", "return pcall(load, function() error 'no' end) == false", true)
add("bytecode", "a source whose reader yields", "return coroutine.resume(coroutine.create(function() load(function() coroutine.yield() end) end)) == false", true)
add("bytecode", "a source whose reader returns numbers", "return pcall(load, function() return 1 end) == false", true)
add("bytecode", "loaded code sees no more than its loader", "return load('return io, os, debug, package')() == nil", true)
add("bytecode", "loaded code in an empty world has nothing", "return load('return next(_ENV)', 'x', 't', {}) == nil or load('return x', 'x', 't', {})() == nil", true)
add("bytecode", "a name that looks like a file", "local _, message = load('x x', '@/etc/passwd') return message:find('syntax error', 1, true) ~= nil", true)
add("bytecode", "load without a chunk", "return pcall(load) == false and pcall(load, {}) == false and pcall(load, nil) == false", true)

-- Metatables ----------------------------------------------------------------------------------------------

for name in ("__gc __close __mode"):gmatch "%S+" do
  add("metatables", name .. " is refused", ("return pcall(setmetatable, {}, { %s = print }) == false"):format(name), true)
end
add("metatables", "a finalizer that was added later never runs", "local m = {} setmetatable({}, m) m.__gc = function() while true do end end for _ = 1, 1e5 do local _ = {} end return true", true)
add("metatables", "strings have a hidden metatable", "return getmetatable('') == false", true)
add("metatables", "the metatable of strings cannot be set", "return pcall(setmetatable, '', {}) == false", true)
add("metatables", "methods of strings cannot be replaced", "string.upper = function() return 'x' end return ('a'):upper() == 'A'", true)
add("metatables", "methods of strings cannot be added", "string.steal = function() return 1 end return ('a').steal == nil", true)
add("metatables", "rawset does not reach the methods of strings", "return pcall(rawset, getmetatable(''), 'x', 1) == false", true)
add("metatables", "numbers, functions, nil and booleans have none", "return getmetatable(1) == nil and getmetatable(print) == nil and getmetatable(nil) == nil and getmetatable(true) == nil", true)
add("metatables", "setmetatable refuses what is no table", "return not (pcall(setmetatable, 1, {}) or pcall(setmetatable, print, {}) or pcall(setmetatable, nil, {}))", true)
add("metatables", "null has no metatable that could be changed", "return getmetatable(json.null) == nil and pcall(setmetatable, json.null, {}) == false", true)
add("metatables", "the mark of lists is hidden", "return getmetatable(json.list {}) == false", true)
add("metatables", "the mark of lists cannot be taken off", "return pcall(setmetatable, json.list {}, nil) == false", true)
add("metatables", "a protected metatable stays", "local t = setmetatable({}, { __metatable = 'no' }) return pcall(setmetatable, t, {}) == false", true)
add("metatables", "__index in a circle", "local a, b = {}, {} setmetatable(a, { __index = b }) setmetatable(b, { __index = a }) return pcall(function() return a.x end) == false", true)
add("metatables", "__index that calls itself", "local t = setmetatable({}, { __index = function(t, k) return t[k] end }) return pcall(function() return t.x end) == false", true)
add("metatables", "__newindex in a circle", "local a = {} setmetatable(a, { __newindex = a }) return pcall(function() a.x = 1 end) == false", true)
add("metatables", "a chain of 1e5 tables", "local t = {} for _ = 1, 1e5 do t = setmetatable({}, { __index = t }) end return pcall(function() return t.x end) == false", true)
add("metatables", "a chain of 300 calls", "local t = print for _ = 1, 300 do t = setmetatable({}, { __call = t }) end return pcall(t) == false or true", true)
add("metatables", "__tostring that gives no text", "return pcall(tostring, setmetatable({}, { __tostring = function() return {} end })) == false", true)
add("metatables", "__name that is no text", "return type(tostring(setmetatable({}, { __name = {} }))) == 'string'", true)
add("metatables", "__len that lies", "return pcall(table.unpack, setmetatable({}, { __len = function() return 2^40 end })) == false", true)
add("metatables", "__len that is no integer", "return pcall(table.insert, setmetatable({}, { __len = function() return 'x' end }), 1) == false", true)
add("metatables", "__lt that raises while a table is sorted", "local m = { __lt = function() error 'no' end } local t = {} for i = 1, 100 do t[i] = setmetatable({}, m) end return pcall(table.sort, t) == false", true)
add("metatables", "__eq of foreign types", "return setmetatable({}, { __eq = function() return true end }) ~= 1", true)
add("metatables",
  "__pairs is asked and bounded by what it gives", "local n = 0 for _ in pairs(setmetatable({}, { __pairs = function() return function() n = n + 1 if n < 10 then return n end end end })) do end return n == 10", true)
add("metatables", "a weak table made after the fact", [[
  local m = {} local t = setmetatable({}, m) m.__mode = "kv"
  for i = 1, 2e5 do t[i] = {} t[{}] = i end return true]], OPEN)
add("metatables", "a finalizer on a weak table made after the fact", [[
  local m = {} local t = setmetatable({}, m) m.__mode = "k" m.__gc = function() t[{}] = {} end
  for _ = 1, 2e5 do t[{}] = setmetatable({}, {}) end return true]], OPEN)
add("metatables", "a closing value made after the fact", "local m = {} local x <const> = setmetatable({}, m) m.__close = function() end do local y <close> = x end return true", OPEN)
add("metatables", "a concatenation made after the fact", "local m = {} local x = setmetatable({}, m) m.__concat = function() return 'a' end return x .. 'b' == 'a'", OPEN)
add("metatables", "ipairs over an __index that never ends", "for _ in ipairs(setmetatable({}, { __index = function() return 1 end })) do end", "limit")

-- Coroutines ----------------------------------------------------------------------------------------------

add("coroutines", "a chain of closes", [[
  local co
  for _ = 1, 100000 do
    local inner = co
    co = coroutine.create(function() if inner then coroutine.close(inner) end end)
    local c = coroutine.wrap(function() coroutine.yield() end) c()
  end
  local function nest(n) if n == 0 then return coroutine.create(print) end
    local below = nest(n - 1)
    local mine = coroutine.create(function() local x = below coroutine.yield() coroutine.close(x) end)
    coroutine.resume(mine) return mine end
  return pcall(nest, 150) ~= nil]], OPEN)
add("coroutines", "close inside close, very deep", [[
  local function nest(depth)
    local t = setmetatable({}, {})
    getmetatable(t).__close = function() if depth > 0 then local co = coroutine.wrap(nest) pcall(co, depth - 1) end end
    local x <close> = t
    coroutine.yield()
  end
  local co = coroutine.create(nest) coroutine.resume(co, 20000) coroutine.close(co) return true]], OPEN)
add("coroutines", "resume of itself", "local co co = coroutine.create(function() return coroutine.resume(co) end) local _, ok = coroutine.resume(co) return ok == false", true)
add("coroutines", "close of itself", "local co co = coroutine.create(function() return pcall(coroutine.close, co) end) local _, ok = coroutine.resume(co) return ok == false", true)
add("coroutines", "wrap of itself", "local f f = coroutine.wrap(function() return pcall(f) end) return f() == false", true)
add("coroutines", "a yield of what nobody resumes", "coroutine.yield(1)", "failed")
add("coroutines", "a yield inside a comparator", "return pcall(coroutine.wrap(function() table.sort({ 3, 2, 1 }, function() coroutine.yield() end) end)) == false", true)
add("coroutines", "a yield inside gsub", "return pcall(coroutine.wrap(function() ('abc'):gsub('.', function() coroutine.yield() end) end)) == false", true)
add("coroutines", "a yield inside a metamethod", "local f = coroutine.wrap(function() return setmetatable({}, { __index = function(_, k) return coroutine.yield(k) end }).x end) return f() == 'x' and f(7) == 7", true)
add("coroutines", "a yield across pcall", "local f = coroutine.wrap(function() pcall(function() coroutine.yield(1) error 'x' end) return 2 end) return f() == 1 and f() == 2", true)
add("coroutines", "resume of the dead", "local co = coroutine.create(function() end) coroutine.resume(co) return coroutine.resume(co) == false", true)
add("coroutines",
  "resume of a normal one",  [[
  local a a = coroutine.create(function() local b = coroutine.create(function() return
  coroutine.resume(a) end) return select(2, coroutine.resume(b)) end) return select(2, coroutine.resume(a)) == false]], true)
add("coroutines", "resume of what is no coroutine", "return pcall(coroutine.resume, {}) == false and pcall(coroutine.status, 1) == false and pcall(coroutine.create, 1) == false", true)
add("coroutines", "recursion through wrap", "local function f() return coroutine.wrap(f)() end return pcall(f) == false", true)
add("coroutines", "recursion through resume", "local function f() local co = coroutine.create(f) local ok, e = coroutine.resume(co) if not ok then error(e, 0) end end return pcall(f) == false", true)
add("coroutines", "a hundred thousand coroutines", "local t = {} for i = 1, 1e5 do t[i] = coroutine.create(print) end return true", OPEN)
add("coroutines", "an error that is nil", "local ok, e = coroutine.resume(coroutine.create(function() error() end)) return ok == false and e == nil", true)
add("coroutines", "an error of a coroutine that is handed up", "error(coroutine.create(print))", "failed")
add("coroutines", "endless yields in both directions", "local f = coroutine.wrap(function() while true do coroutine.yield() end end) while true do f() end", "limit")
add("coroutines", "an endless loop inside a coroutine", "coroutine.wrap(function() while true do end end)()", "limit")

-- Time that no limit of the interpreter sees -----------------------------------------------------------------

add("loops", "while true", "while true do end", "limit")
add("loops", "goto", "::a:: goto a", "limit")
add("loops", "tail calls", "local function f() return f() end f()", "limit")
add("loops", "pcall that swallows every error", "while true do pcall(function() while true do end end) end", "limit")
add("loops", "a message handler that loops", "xpcall(error, function() while true do end end)", "limit")
add("loops", "a message handler that raises for ever", "local function h() error 'x' end while true do xpcall(error, h) end", "limit")
add("loops", "a pattern that backtracks", "('a'):rep(40):find(('a?'):rep(40) .. ('a'):rep(40))", "limit")
add("loops", "a pattern with three lazy parts", "('a'):rep(6000):find('.-.-.-.-b')", "limit")
add("loops", "gsub over a pattern that backtracks", "('a'):rep(8000):gsub('(.-)(.-)(.-)b', '')", "limit")
add("loops", "repeating nothing", "string.rep('', 1 << 62)", "limit")
add("loops", "moving a hole", "table.move({}, 1, 1 << 60, 2)", "limit")
add("loops", "one instruction of 64 MiB", "local s = ('x'):rep(1 << 26) while true do s:reverse() end", "limit")
add("loops", "a comparison of long strings", "local a, b = ('x'):rep(1 << 25) .. 'a', ('x'):rep(1 << 25) .. 'b' while true do local _ = a < b end", "limit")
add("loops", "a comparator that never agrees", "local t = {} for i = 1, 1e7 do t[i] = i % 7 end while true do pcall(table.sort, t, function() return true end) end", "limit")
add("loops", "loading again and again", "while true do load('return 1') end", "limit")
add("loops", "a search with a long needle", "local s = ('a'):rep(1 << 22) while true do s:find(('a'):rep(1 << 12) .. 'b', 1, true) end", "limit")

-- Memory --------------------------------------------------------------------------------------------------

add("memory", "rep of a gigabyte", "return ('x'):rep(1 << 30)", "limit")
add("memory", "rep beyond the largest size", "return pcall(string.rep, 'xxxx', 1 << 61) == false", true)
add("memory", "rep with a separator beyond the largest size", "return pcall(string.rep, 'x', 1 << 40, ('y'):rep(1 << 24)) == false", true)
add("memory", "doubling", "local s = 'x' while true do s = s .. s end", "limit")
add("memory", "a table that grows", "local t = {} for i = 1, math.huge do t[#t + 1] = { i } end", "limit")
add("memory", "strings that are kept apart", "local t = {} for i = 1, math.huge do t[#t + 1] = 'a' .. i end", "limit")
add("memory", "closures", "local t = {} while true do local x = {} t[#t + 1] = function() return x end end", "limit")
add("memory", "coroutines", "local t = {} while true do local f = coroutine.wrap(function() coroutine.yield() end) f() t[#t + 1] = f end", "limit")
add("memory", "an array with a far index", "local t = {} for i = 0, 62 do t[1 << i] = true end return true", true)
add("memory", "deep recursion", "local function f() return 1 + f() end return pcall(f) == false", true)
add("memory", "deep recursion through C", "local function f() return (('x'):gsub('.', f)) end return pcall(f) == false", true)
add("memory", "deep recursion through pcall", "local function f() return pcall(f) end f() return true", OPEN)
add("memory", "deep recursion through tostring", "local t = {} setmetatable(t, { __tostring = function() return tostring(t) end }) return pcall(tostring, t) == false", true)
add("memory", "deep recursion through load", "local function f() return load(f) end return pcall(f) == false or true", true)
add("memory", "gsub that grows its subject", "local s = ('x'):rep(1 << 20) while true do s = s:gsub('x', 'xx') end", "limit")
add("memory", "a list of all numbers", "return table.pack(table.unpack({}, 1, 1e7))", { "failed", "limit" })
add("memory", "concatenation of a huge list", "local t = {} for i = 1, 1e6 do t[i] = ('x'):rep(400) end return table.concat(t)", "limit")
add("memory", "swallowing the end of memory", "local t = {} while true do pcall(function() while true do t[#t + 1] = ('x'):rep(1 << 16) .. #t end end) end", "limit")
add("memory", "a deep list as JSON", "return json.decode(('['):rep(1e5)) == nil", true)
add("memory", "a wide object as JSON", "local t = {} for i = 1, 1e5 do t[i] = ('\"%d\":1'):format(i) end return json.decode('{' .. table.concat(t, ',') .. '}') == nil", true)
add("memory", "a value that holds itself as JSON", "local t = {} t.t = t return pcall(json.encode, t) == false or json.encode(t) == nil", true)
add("memory", "format of a wide number", "return pcall(string.format, '%1000d', 1) == false", true)

-- The parser ----------------------------------------------------------------------------------------------

add("parser", "nested parentheses", "return load('return ' .. ('('):rep(1e5) .. '1' .. (')'):rep(1e5)) == nil", true)
add("parser", "nested tables", "return load('return ' .. ('{'):rep(1e5) .. ('}'):rep(1e5)) == nil", true)
add("parser", "nested functions", "return load(('return function() '):rep(5000) .. ('end '):rep(5000)) == nil", true)
add("parser", "nested blocks", "return load(('do '):rep(60000) .. ('end '):rep(60000)) == nil", true)
add("parser", "unary operators", "return load('return ' .. ('-'):rep(0) .. ('not '):rep(60000) .. '1') == nil", true)
add("parser", "a chain of concatenations", "return load('return ' .. ('1 ..'):rep(60000) .. '1') == nil", true)
add("parser", "a chain of powers", "return load('return ' .. ('2^'):rep(1e5) .. '1') == nil", true)
add("parser", "more than 200 locals", "return load(('local a '):rep(300)) == nil", true)
add("parser", "more than 255 upvalues", "local t = {} for i = 1, 150 do t[#t + 1] = 'local a' .. i .. ' ' end return load(table.concat(t)) ~= nil", true)
add("parser", "a table of many fields", "return load('return {' .. ('1,'):rep(100000) .. '}') ~= nil", true)
add("parser", "many constants", "local t = {} for i = 1, 15000 do t[i] = 'x=' .. i .. '.5 ' end return load(table.concat(t)) ~= nil", true)
add("parser", "names of 100 KiB", "return load(('a'):rep(100000) .. ' = 1') ~= nil", true)
add("parser", "a long string that does not end", "return load('x = [' .. ('='):rep(1e5) .. '[') == nil", true)
add("parser", "escapes that are none", [[return load('return "\\xZZ"') == nil and load('return "\\u{FFFFFFFFFF}"') == nil and load('return "\\300"') == nil]], true)
add("parser", "numbers that are none", "return load('return 0x') == nil and load('return 1e') == nil and load('return 1..2') == nil", true)
add("parser", "labels by the thousand", "local t = {} for i = 1, 5000 do t[i] = '::l' .. i .. '::' end return load(table.concat(t)) == nil", true)
add("parser", "a goto out of reach", "return load('goto x do ::x:: end') == nil", true)
add("parser", "attributes that are none", "return load('local x <foo> = 1') == nil and load('local x <const> = 1 x = 2') == nil", true)
add("parser", "a name of a variable in an error message, very deep", "local s = 'x' for i = 1, 5000 do s = s .. '.y' end return pcall(load('return ' .. s)) == false", true)
add("parser", "collection while a chunk is parsed", [[
  for i = 1, 300 do
    local pieces = {}
    for j = 1, 60 do pieces[j] = 'local v' .. j .. " = '" .. ('k'):rep(j + i) .. "' " end
    local at = 0
    load(function() at = at + 1 local garbage = {} for k = 1, 50 do garbage[k] = { k .. '' } end return pieces[at] end, 'name' .. i)
  end
  return true]], true)
add("parser", "a reader that loads while it is read", "local n = 0 local function r() n = n + 1 if n > 150 then return nil end load(r) return ' ' end load(r) return true", OPEN)

-- Arguments at the edges: what broke other embeddings ----------------------------------------------------------

for _, one in ipairs {
  { "unpack from 0 to 2^31 - 1", "table.unpack({}, 0, 2147483647)" },
  { "unpack over all integers", "table.unpack({}, math.mininteger, math.maxinteger)" },
  { "unpack of 1e7 values", "table.unpack({}, 1, 10000000)" },
  { "an integer of 17 bytes", "string.pack('i17', 1)" },
  { "an alignment of 17 bytes", "string.pack('!17i4', 1)" },
  { "a size that overflows", "string.pack('i16777217', 1)" },
  { "a fixed string of 2^40 bytes", "string.pack('c1099511627776', 'x')" },
  { "a packed size that overflows", "string.packsize(('c2147483647'):rep(9))" },
  { "unpacking beyond the end", "string.unpack('c100', 'x')" },
  { "unpacking from far away", "string.unpack('i4', 'abcd', math.maxinteger)" },
  { "unpacking a string with a lying size", "string.unpack('s8', ('\\xff'):rep(8))" },
  { "an option that is none", "string.pack('q', 1)" },
  { "char of more than a byte", "string.char(256)" },
  { "a code point out of range", "utf8.char(1 << 31)" },
  { "code points of what is no UTF-8", "utf8.codepoint('\\xff\\xff', 1, 2)" },
  { "an offset out of range", "utf8.offset('abc', 1, 100)" },
  { "bytes by the ten million", "('x'):rep(10000000):byte(1, -1)" },
  { "select beyond the beginning", "select(math.mininteger, 1)" },
  { "insertion far away", "table.insert({}, 1 << 40, 1)" },
  { "removal far away", "table.remove({ 1, 2 }, 1 << 40)" },
  { "moving beyond the end of integers", "table.move({ 1 }, 1, math.maxinteger, 2)" },
  { "concatenation of what is no text", "table.concat({ {} })" },
  { "a pattern that ends early", "('x'):find('[')" },
  { "a pattern that ends in a percent sign", "('x'):find('%')" },
  { "a balance without marks", "('x'):find('%b')" },
  { "a frontier without a set", "('x'):find('%f')" },
  { "thirty-three captures", "('x'):rep(40):find(('(x)'):rep(33))" },
  { "a capture that is none", "('x'):gsub('x', '%9')" },
  { "a replacement of a wrong type", "('x'):gsub('x', function() return {} end)" },
  { "a pattern that is too deep", "('x'):rep(300000):match(('(x'):rep(1) .. ('.?'):rep(250000) .. ')')" },
  { "format with too many directives", "string.format(('%d'):rep(1000), 1)" },
  { "format of an unknown directive", "string.format('%y', 1)" },
  { "format with a pointer as text", "string.format('%d', {})" },
  { "tonumber in base 37", "tonumber('z', 37)" },
  { "a shift by the least integer, then text", "('x' << math.mininteger)" },
  { "division of the least integer by nothing", "math.mininteger // 0" },
  { "a random number of an empty range", "math.random(2, 1)" },
  { "a loop with a step of nothing", "(function() for _ = 1, 2, 0 do end end)()" },
  { "rawlen of a number", "rawlen(1)" },
  { "next of a key that is not there", "next({}, 'x')" },
  { "an index that is not a number", "(function() local t = {} t[0/0] = 1 end)()" },
  { "an index that is nil", "(function() local t = {} t[nil] = 1 end)()" },
} do
  add("edges", one[1], ("return (select('#', pcall(function() return %s end))) >= 1 and not pcall(function() return %s end)"):format(one[2], one[2]), true)
end
add("edges", "shifts and divisions at the ends of integers", "return (1 << 64) == 0 and (1 >> math.mininteger) == 0 and math.mininteger // -1 == math.mininteger and math.mininteger % -1 == 0", true)
add("edges", "a loop over all integers ends where it should", "local n = 0 for _ = math.maxinteger - 2, math.maxinteger do n = n + 1 end return n == 3", true)
add("edges", "a search from far away finds nothing", "return ('abc'):find('a', math.maxinteger) == nil and ('abc'):sub(math.mininteger, math.maxinteger) == 'abc'", true)
add("edges", "numbers in text of 100 KiB", "return tonumber(('9'):rep(100000)) ~= nil and tonumber('0x' .. ('f'):rep(100000)) ~= nil", true)
add("edges", "text of a number in a wide format", "return #('%.99f'):format(1e308) > 300", true)

-- What comes out -------------------------------------------------------------------------------------------

add("output", "a function", "return print", "invalid")
add("output", "a coroutine", "return coroutine.create(print)", "invalid")
add("output", "a value that holds itself", "local t = {} t.t = t return t", "invalid")
add("output", "a hundred levels", "local t = {} for _ = 1, 100 do t = { t } end return t", "invalid")
add("output", "no number", "return 0/0", "invalid")
add("output", "keys of two kinds", "return { 1, a = 2 }", "invalid")
add("output", "a list with holes", "return { [1] = 1, [1000] = 2 }", "invalid")
add("output", "an object with methods", "return setmetatable({}, { __index = { a = 1 } })", "invalid")
add("output", "an object that makes itself up", "return setmetatable({}, { __pairs = function() return function() return 'a', 1 end end })", "invalid")
add("output", "a hundred thousand keys", "local t = {} for i = 1, 100000 do t['k' .. i] = 1 end return t", { "invalid", "limit" })
add("output", "two megabytes", "return ('x'):rep(2 << 20)", "limit")
add("output", "sixteen megabytes of log", "for _ = 1, 20000 do print(('x'):rep(4000)) end return true", "limit")
add("output", "lines of log without end", "while true do print 'x' end", "limit")
add("output", "items without end", "while true do ctx:emit(('x'):rep(100000)) end", "limit")
add("output", "an item of two megabytes", "ctx:emit(('x'):rep(2 << 20))", "limit")
add("output", "a line of a megabyte is cut short", "print(('x'):rep(1 << 20)) return true", true)
add("output", "control bytes in a line", "print('\\27]0;owned\\7\\0\\r\\n') return true", true)
add("output", "bytes that are no UTF-8", "return ('\\xff\\xfe'):rep(10) == ('\\xff\\xfe'):rep(10)", true)
add("output", "print of what cannot be shown", "return pcall(print, setmetatable({}, { __tostring = function() error 'x' end })) == false", true)
add("output", "an error without a value", "error()", "failed")
add("output", "an error that is a table", "error {}", "failed")
add("output", "an error that is a table with a lie", "error(setmetatable({}, { __index = function() while true do end end }))", "failed")
add("output", "an error that says it was cancelled", "error { code = 'cancelled', message = 'x' }", "failed")
add("output", "an error with a code of its own", "error { code = 'root', message = 'x' }", "failed")
add("output", "an error of a megabyte", "error(('x'):rep(1 << 20))", "failed")
add("output", "nothing, with a message", "return nil, 'no', 'not_found'", "not_found")
add("output", "nothing, with a code that only the host gives", "return nil, 'no', 'cancelled'", "failed")
add("output", "a code that is no text", "return nil, 'no', {}", "failed")

-- What was not granted -----------------------------------------------------------------------------------

for name in ("http chat read tool secret process step workspace spawn publish sleep now"):gmatch "%S+" do
  add("grants", ("ctx:%s was not granted"):format(name), ("return ctx.%s == nil"):format(name), true)
end
add("grants", "another name for a grant", "return ctx:granted('x') ~= nil and pcall(function() return ctx:http {} end) == false", true, { grants = true })
add("grants", "a grant that is called with too much", "return pcall(ctx.granted, ctx, ('x'):rep(2 << 20)) == false", true, { grants = true })
add("grants", "a grant that is called with a function", "return pcall(ctx.granted, ctx, print) == false", true, { grants = true })
add("grants", "a grant that is called without end", "while true do ctx:granted(1) end", { "limit", "timeout" }, { grants = true })
add("grants", "a grant without its ctx", "return pcall(ctx.granted) == true or true", true, { grants = true })

return M
