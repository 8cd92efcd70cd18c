--- The public face of the library: what pipelines, modules and programs require as `weir`.

local build = require "weir.definition.build"
local json = require "weir.native.json"

---@class weir
local M = {
  pipeline = build.pipeline,
  flow = build.flow,
  group = build.group,
  step = build.step,
  approval = build.approval,
  map = build.map,
  speculate = build.speculate,
  wait = build.wait,
  plan = build.plan,
  null = json.null,
  list = json.list,
  is_list = json.is_list,
}

return M
