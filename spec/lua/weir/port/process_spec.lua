local process = require "weir.port.process"
local scheduler = require "weir.native.scheduler"
local task = require "weir.task"
local uv = require "luv"

--- A number that only this run's children have as an argument.
local function mark() return ("%d.%06d"):format(300 + math.random(99), math.random(999999)) end

local function is_running(argument)
  for name in uv.fs_scandir_next, uv.fs_scandir "/proc" do
    local file = name:match "^%d+$" and io.open(("/proc/%s/cmdline"):format(name), "rb")
    local line = file and file:read "a"
    if file then file:close() end
    if line and line:find(argument, 1, true) then return true end
  end
  return false
end

local function eventually(holds)
  for _ = 1, 2000 do
    if holds() then return true end
    task.sleep(0.005)
  end
  return false
end

--- The kernel ends what was killed in its own time.
local function is_gone(argument)
  return eventually(function() return not is_running(argument) end)
end

local function descriptors()
  local count = 0
  for _ in uv.fs_scandir_next, uv.fs_scandir "/proc/self/fd" do count = count + 1 end
  return count
end

--- Descriptors above 2 that a child would inherit: those that this process was itself started with.
local function inheritable()
  local list = {}
  for name in uv.fs_scandir_next, uv.fs_scandir "/proc/self/fdinfo" do
    local file = tonumber(name) > 2 and io.open("/proc/self/fdinfo/" .. name, "rb")
    local flags = file and file:read "a":match "flags:%s*(%d+)"
    if file then file:close() end
    if flags and tonumber(flags, 8) & tonumber("2000000", 8) == 0 then list[name] = true end
  end
  return list
end

local OUTSIDE = inheritable()

describe("process.run", function()
  it("gives output, error output and status", function()
    local result = process.run { "sh", "-c", "echo out; echo err >&2; exit 7" }
    assert.same({ status = 7, stdout = "out\n", stderr = "err\n" }, result)
  end)

  it("passes arguments as they are, past any shell", function()
    assert.equal("a  b|$HOME;*|", process.run({ "printf", "%s|", "a  b", "$HOME;*" }).stdout)
  end)

  it("writes the input while it reads the output", function()
    local text = ("0123456789abcdef"):rep(200000)
    assert.is_true(process.run({ "cat" }, { stdin = text, max_bytes = #text }).stdout == text)
    assert.equal("", process.run({ "cat" }, { stdin = "" }).stdout)
    assert.equal("", process.run({ "cat" }).stdout)
  end)

  it("survives a child that closes its input", function()
    local result = process.run({ "sh", "-c", "exec 0<&-; sleep 0.05; echo done" }, { stdin = ("y"):rep(1000000) })
    assert.equal("done\n", result.stdout)
  end)

  it("reports a signal", function()
    local result = process.run { "sh", "-c", "kill -9 $$" }
    assert.equal(137, result.status)
    assert.equal(9, result.signal)
  end)

  it("says why a program does not start", function()
    local _, message, code = process.run { "no-such-program-here" }
    assert.equal("command 'no-such-program-here': no such file or directory", message)
    assert.equal("not_found", code)
    assert.equal("denied", select(3, process.run { "/etc/passwd" }))
    _, message, code = process.run({ "true" }, { cwd = "/no/such/folder" })
    assert.matches("folder '/no/such/folder'", message)
    assert.equal("not_found", code)
  end)

  it("runs in the folder and with the environment that it is given", function()
    assert.equal("/usr\n", process.run({ "pwd" }, { cwd = "/usr" }).stdout)
    assert.equal("A=1\nB=x y\n", process.run({ "/usr/bin/env" }, { env = { A = "1", B = "x y" } }).stdout)
  end)

  it("does not hand down what looks like a secret", function()
    uv.os_setenv("WEIR_SPEC_API_KEY", "s3cret")
    uv.os_setenv("WEIR_SPEC_NAMED", "s3cret")
    uv.os_setenv("WEIR_SPEC_PLAIN", "plain")
    local result = process.run({ "env" }, { secrets = { "WEIR_SPEC_NAMED" } })
    for _, name in ipairs { "WEIR_SPEC_API_KEY", "WEIR_SPEC_NAMED", "WEIR_SPEC_PLAIN" } do uv.os_unsetenv(name) end
    assert.is_nil(result.stdout:find("s3cret", 1, true))
    assert.truthy(result.stdout:find("WEIR_SPEC_PLAIN=plain", 1, true))
  end)

  it("stops a child that writes too much", function()
    local argument = mark()
    local _, message, code = process.run({ "yes", argument }, { max_bytes = 100000 })
    assert.equal("limit", code)
    assert.matches("stdout passed 100000 bytes", message)
    assert.is_true(is_gone(argument))
    assert.equal("limit", select(3, process.run({ "sh", "-c", "yes >&2" }, { max_bytes = 100000 })))
  end)

  it("stops a child that takes too long, also one that ignores the signal to end", function()
    for _, script in ipairs { "sleep %s", "trap '' TERM; sleep %s; sleep 1" } do
      local argument = mark()
      local _, message, code = process.run({ "sh", "-c", script:format(argument) }, { timeout = 0.05 })
      assert.equal("timeout", code)
      assert.matches("still runs after 0.05 seconds", message)
      assert.is_true(is_gone(argument))
    end
  end)

  it("kills what the child left running", function()
    local argument = mark()
    local result = process.run { "sh", "-c", ("sleep %s & echo started"):format(argument) }
    assert.equal("started\n", result.stdout)
    assert.is_true(is_gone(argument))
  end)

  it("leaves the others running on request", function()
    local argument = mark()
    local result = process.run({ "sh", "-c", ("sleep %s >/dev/null 2>&1 & echo $!"):format(argument) }, { keep = true })
    assert.is_true(eventually(function() return is_running(argument) end)) -- it shows no arguments while it is being started
    uv.kill(tonumber(result.stdout), "sigkill")
    assert.is_true(is_gone(argument))
  end)

  it("ends its group when its task is cancelled", function()
    local argument = mark()
    local ok, failure = task.within({ timeout = 0.05 }, function()
      process.run { "sh", "-c", ("sleep %s & sleep %s"):format(argument, argument) }
    end)
    assert.is_false(ok)
    assert.equal("timeout", failure.code)
    assert.is_true(is_gone(argument))
  end)

  it("does not wait until somebody collects a member that has died", function()
    -- The parent of the member has left the group, and never asks for its end; it ends by itself.
    local script = [[sh -c 'sleep 300 & exec setsid sh -c "echo \$\$; exec sleep 5 >/dev/null 2>&1"' & wait]]
    local function is_no_shell(pid)
      local file <close> = io.open(("/proc/%d/comm"):format(pid), "rb")
      return file ~= nil and file:read "a" == "sleep\n"
    end
    local least, tries = math.huge, 0
    repeat -- the machine may be busy with something else
      local child = assert(process.start { "sh", "-c", script })
      local parent = assert(math.tointeger(tonumber(child.stdout:recv())))
      while not is_no_shell(parent) do task.sleep(0.001) end
      local from = scheduler.now()
      child:close()
      least, tries = math.min(least, scheduler.now() - from), tries + 1
      assert.equal(0, uv.kill(-child.pid, 0)) -- the kernel counts it still
    until least < 0.09 or tries == 20
    assert.is_true(least < 0.09, least)
  end)

  it("hands down no descriptor but the three streams", function()
    for name in process.run({ "sh", "-c", "ls /proc/$$/fd" }).stdout:gmatch "%d+" do
      assert(tonumber(name) <= 2 or OUTSIDE[name], "descriptor " .. name)
    end
  end)

  it("gives back every descriptor", function()
    process.run { "true" } -- what the loop opens once
    process.run({ "cat" }, { stdin = "x" })
    local before = descriptors()
    for _ = 1, 5 do
      process.run({ "cat" }, { stdin = "x" })
      process.run { "no-such-program-here" }
      process.run({ "yes" }, { max_bytes = 10 })
      process.run({ "sleep", "300" }, { timeout = 0.01 })
    end
    assert.equal(before, descriptors())
  end)

  it("takes its caller's mistakes for mistakes", function()
    for _, args in ipairs { {}, "ls", { "" }, { "a\0b" }, { "ls", 1 } } do
      assert.has_error(function() process.run(args) end)
    end
    assert.has_error(function() process.run({ "ls" }, { env = { ["A=B"] = "1" } }) end)
    for _, stdin in ipairs { {}, { "a" }, 1, true } do
      for _, start in ipairs { process.run, process.start } do
        local ok, err = pcall(start, { "cat" }, { stdin = stdin })
        assert.is_false(ok)
        assert.matches("stdin must be a string, got " .. type(stdin), err, 1, true)
      end
    end
  end)
end)

describe("process.start", function()
  it("writes nothing to a child but texts", function()
    task.within({}, function()
      local child <close> = assert(process.start({ "cat" }, { pipe = true }))
      for _, bytes in ipairs { {}, { "a" }, 1 } do assert.has_error(function() child.stdin:write(bytes) end) end
      assert.is_true(child.stdin:write "")
      assert.is_true(child.stdin:write "a")
      child.stdin:close()
      assert.equal("a", child.stdout:recv())
    end)
  end)

  it("gives the streams as channels", function()
    task.within({}, function()
      local child <close> = assert(process.start({ "sh", "-c", "cat; echo err >&2; exit 3" }, { stdin = "line" }))
      assert.equal("line", child.stdout:recv())
      assert.equal("err\n", child.stderr:recv())
      assert.is_nil(child.stdout:recv())
      assert.is_nil(child.stderr:recv())
      assert.same({ status = 3 }, child:wait())
    end)
  end)

  it("talks to a child", function()
    task.within({}, function()
      local child <close> = assert(process.start({ "cat" }, { pipe = true }))
      for _, line in ipairs { "one\n", "two\n" } do
        assert.is_true(child.stdin:write(line))
        assert.equal(line, child.stdout:recv())
      end
      child.stdin:close()
      assert.equal(0, child:wait().status)
      assert.equal("closed", select(3, child.stdin:write "three"))
      assert.is_false(child:kill())
    end)
  end)

  it("makes the child wait when nobody reads", function()
    task.within({}, function()
      local child <close> = assert(process.start { "yes" })
      task.sleep(0.05)
      local before = scheduler.stats().memory_bytes
      task.sleep(0.05)
      assert.is_true(scheduler.stats().memory_bytes - before < 1000000)
      assert.equal("y\n", child.stdout:recv():sub(1, 2))
      assert.equal("timeout", select(3, child:wait(0.01)))
    end)
  end)

  it("does not outlive the scope that it was started in", function()
    local argument = mark()
    task.within({}, function() assert(process.start { "sleep", argument }) end)
    assert.is_true(is_gone(argument))
    task.within({ timeout = 0.05 }, function()
      assert(process.start { "yes", argument })
      task.sleep(10)
    end)
    assert.is_true(is_gone(argument))
  end)

  it("may be closed twice", function()
    task.within({}, function()
      local child = assert(process.start { "sleep", mark() })
      child:close()
      child:close()
      assert.equal(143, child:wait().status)
    end)
  end)
end)
