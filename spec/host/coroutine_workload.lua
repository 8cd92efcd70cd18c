--- What coroutine_spec runs with Lua's own coroutine library and with the host's: the text that it gives
--- must be the same. Everything here is deterministic and leaves nothing behind.
---@param coroutine table the library to use
---@return string
return function(coroutine)
  local create, resume, status, yield, wrap = coroutine.create, coroutine.resume, coroutine.status, coroutine.yield, coroutine.wrap
  local lines = {}

  local function note(label, ...)
    local parts = { label }
    for i = 1, select("#", ...) do parts[#parts + 1] = tostring((select(i, ...))) end
    lines[#lines + 1] = table.concat(parts, " ")
  end

  local function closer(name, log, body)
    return setmetatable({}, { __close = function(_, err)
      log[#log + 1] = name .. (err == nil and "" or ":" .. tostring(err))
      if body then body() end
    end })
  end

  -- A pipeline of generators, each of which drives the one before it.
  local function numbers(from, to)
    return wrap(function() for n = from, to do yield(n) end end)
  end
  local function filter(source, keep)
    return wrap(function() for n in source do if keep(n) then yield(n) end end end)
  end
  local function sieve(limit)
    return wrap(function()
      local source = numbers(2, limit)
      while true do
        local prime = source()
        if not prime then return end
        yield(prime)
        source = filter(source, function(n) return n % prime ~= 0 end)
      end
    end)
  end
  local primes = {}
  for prime in sieve(60) do primes[#primes + 1] = prime end
  note("sieve", table.concat(primes, ","))

  -- Two recursive walks compared item by item.
  local function walk(tree) if tree then walk(tree[1]) yield(tree[2]) walk(tree[3]) end end
  local function balanced(from, to)
    if from > to then return nil end
    local middle = (from + to) // 2
    return { balanced(from, middle - 1), middle, balanced(middle + 1, to) }
  end
  local function chain(from, to) return from <= to and { nil, from, chain(from + 1, to) } or nil end
  local left, right = wrap(walk), wrap(walk)
  local same, item = 0
  local a, b = left(balanced(1, 40)), right(chain(1, 40))
  repeat
    if a == b then same = same + 1 end
    item = a
    a, b = left(), right()
  until a == nil or b == nil
  note("fringe", same, item, a, b)

  -- Values pass both ways, nils among them.
  local echo = create(function(...)
    local given = table.pack(...)
    while true do
      given = table.pack(yield(given.n, table.unpack(given, 1, given.n)))
      if given[1] == "stop" then return "stopped", nil end
    end
  end)
  note("echo", resume(echo))
  note("echo", resume(echo, nil, 1, nil))
  note("echo", resume(echo, {} == nil))
  note("echo", resume(echo, "stop"))
  note("echo", resume(echo, "dead"))
  note("echo", status(echo))

  -- Errors: what kind, from how deep, what is left.
  local function failing(depth, err)
    return create(function()
      if depth == 0 then error(err, 0) end
      local inner = failing(depth - 1, err)
      local ok, what = resume(inner)
      error(ok and "no error" or what, 0)
    end)
  end
  for depth = 0, 5 do note("error", depth, resume(failing(depth, "e" .. depth))) end
  note("error nil", resume(failing(2, nil)))
  local marker = setmetatable({}, { __tostring = function() return "marker" end })
  note("error table", select(2, resume(failing(3, marker))) == marker)
  note("wrap error", pcall(wrap(function() error("w", 0) end)))
  note("wrap error table", select(2, pcall(wrap(function() error(marker) end))) == marker)
  note("wrap error position", (select(2, pcall(function() wrap(function() error "placed" end)() end)):gsub("^.-:%d+: ", "", 1)))
  local once = wrap(function() return "one" end)
  note("wrap", once())
  note("wrap dead", (select(2, pcall(once)):gsub("^.-:%d+: ", "")))

  -- pcall and yields through it.
  local guarded = create(function()
    for round = 1, 3 do
      local ok, err = pcall(function()
        local got = yield("in", round)
        if got then error(got, 0) end
        return pcall(pcall, yield, "deeper")
      end)
      yield("out", ok, err)
    end
    return "end"
  end)
  for _, given in ipairs { "go", "e1", "x", false, "y", "z", "e3", "w", "v", "dead" } do note("guarded", resume(guarded, given)) end

  -- A message handler sees the stack as it was; what it gives is the result.
  note("xpcall", resume(create(function()
    return xpcall(function(x) yield(x) error("handled", 0) end, function(err) return "<" .. err .. ">" end, "arg")
  end)))
  local handled = create(function()
    return xpcall(function(x) yield(x) error("handled", 0) end, function(err) return "<" .. err .. ">" end, "arg")
  end)
  note("xpcall", resume(handled))
  note("xpcall", resume(handled))

  -- Yields out of metamethods, iterators and comparisons.
  local meta = {}
  for _, event in ipairs { "add", "sub", "mul", "idiv", "band", "shl", "unm", "bnot", "len", "lt", "le", "call", "index" } do
    meta["__" .. event] = function(_, other) return yield(event, type(other)) end
  end
  meta.__eq = function() return yield "eq" end
  meta.__newindex = function(object, key, value) rawset(object, key, yield("newindex", value)) end
  local operators = create(function()
    local x, y = setmetatable({}, meta), setmetatable({}, meta)
    local results = { x + 1, 2 - x, x * y, x // 1, x & 1, x << 1, -x, ~x, #x, x < y, x <= y, x(5), x.field, x == y, x ~= y }
    x.set = "given"
    return table.concat((function() local t = {} for i, v in ipairs(results) do t[i] = tostring(v) end return t end)(), ","), rawget(x, "set")
  end)
  for round = 0, 16 do note("operator", resume(operators, round)) end
  local loop = create(function()
    local sum = 0
    for n in function(_, n) return yield("step", n) end, nil, 0 do sum = sum + n end
    return sum
  end)
  note("iterator", resume(loop))
  for n = 1, 4 do note("iterator", resume(loop, n)) end
  note("iterator", resume(loop, nil))

  -- To-be-closed variables: order, errors, yields in them.
  local log = {}
  local scoped = create(function()
    local _ <close> = closer("first", log)
    do
      local _ <close> = closer("second", log, function() yield "while closing" end)
      yield "inside"
    end
    local _ <close> = closer("third", log)
    error("thrown", 0)
  end)
  for _ = 1, 4 do note("close", resume(scoped)) end
  note("close log", table.concat(log, " "))
  log = {}
  local abandoned = create(function()
    local _ <close> = closer("outer", log)
    local _ <close> = closer("broken", log, function() error("in close", 0) end)
    for n in numbers(1, 9) do yield(n) end
  end)
  note("abandon", resume(abandoned))
  note("abandon", coroutine.close(abandoned))
  note("abandon", status(abandoned), table.concat(log, " "))
  note("abandon", coroutine.close(abandoned))
  note("close fresh", coroutine.close(create(print)))
  log = {}
  for n in numbers(1, 9), nil, nil, closer("loop", log) do if n == 4 then break end end
  note("loop close", table.concat(log, " "))
  log = {}
  note("return close", pcall(function()
    local _ <close> = closer("a", log)
    return (function() local _ <close> = closer("b", log) return "value" end)()
  end))
  note("return close", table.concat(log, " "))

  -- status, running, isyieldable.
  local outer
  outer = create(function()
    local self, is_main = coroutine.running()
    note("running", self == outer, is_main, coroutine.isyieldable())
    local inner = create(function()
      note("status", status(outer), status(self))
      note("resume normal", resume(outer))
      note("close normal", pcall(coroutine.close, outer))
      yield()
    end)
    resume(inner)
    note("status", status(inner), status(outer))
    note("resume self", resume(outer))
    note("close self", pcall(coroutine.close, outer))
    note("yieldable inner", coroutine.isyieldable(inner))
    coroutine.close(inner)
    note("status", status(inner))
    yield()
  end)
  note("status", status(outer))
  resume(outer)
  note("status", status(outer))
  resume(outer)
  note("status", status(outer))
  note("bad arguments", (pcall(resume, 1)), (pcall(create)), (pcall(wrap, {})), (pcall(status)))
  note("yield in sort", (select(2, pcall(wrap(function() table.sort({ 2, 1 }, function() yield() end) end))):gsub("^.-:%d+: ", "")))

  -- Callbacks of C that drive coroutines.
  local compare = wrap(function(x, y) while true do x, y = yield(x < y) end end)
  local shuffled = {}
  for i = 1, 50 do shuffled[i] = i * 37 % 53 end
  table.sort(shuffled, function(x, y) return compare(x, y) end)
  note("sort", table.concat(shuffled, " "))
  local count = wrap(function() for n = 1, math.huge do yield(("%d"):format(n)) end end)
  note("gsub", (("a-b-c-d"):gsub("%-", function() return count() end)))

  -- Depth: each level resumes the next twice.
  local function nested(depth)
    return create(function()
      if depth == 0 then
        yield "bottom"
        return "up"
      end
      local inner = nested(depth - 1)
      local _, first = resume(inner)
      yield(first)
      local _, second = resume(inner)
      return second
    end)
  end
  local deep = nested(60)
  note("deep", resume(deep))
  note("deep", resume(deep))
  note("deep", status(deep))

  -- A scheduler of its own, as people write them.
  local queue, turns = {}, {}
  local function spawn(name, rounds)
    queue[#queue + 1] = create(function()
      for round = 1, rounds do
        turns[#turns + 1] = name .. round
        if round == 2 then spawn(name .. "'", 1) end
        yield()
      end
    end)
  end
  spawn("a", 3)
  spawn("b", 1)
  spawn("c", 2)
  while #queue > 0 do
    local co = table.remove(queue, 1)
    assert(resume(co))
    if status(co) ~= "dead" then queue[#queue + 1] = co end
  end
  note("turns", table.concat(turns, " "))

  return table.concat(lines, "\n")
end
