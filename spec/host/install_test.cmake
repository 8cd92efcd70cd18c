# What is installed works by itself, from any folder: the program finds its library and its native modules.
#     cmake -D BUILD=build -P install_test.cmake

string(RANDOM LENGTH 8 suffix)
set(prefix ${BUILD}/install-${suffix})
set(ENV{WEIR_HOME} "")

function(check)
  execute_process(COMMAND ${ARGN} WORKING_DIRECTORY ${prefix}/work OUTPUT_VARIABLE output ERROR_VARIABLE errors
    RESULT_VARIABLE status)
  if(NOT status EQUAL 0)
    file(REMOVE_RECURSE ${prefix})
    message(FATAL_ERROR "${ARGN}: status ${status}\n${output}${errors}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

file(MAKE_DIRECTORY ${prefix}/work)
check(${CMAKE_COMMAND} --install ${BUILD} --prefix ${prefix})
check(${prefix}/bin/weir version)
check(${prefix}/bin/weir run ${prefix}/share/weir/pipelines/hello.lua --store ${prefix}/work/store --set name=Ada)
if(NOT output MATCHES "Hello, Ada!")
  set(failure "hello.lua did not greet: ${output}")
endif()
foreach(native digest http_client)
  if(NOT EXISTS ${prefix}/lib/weir/weir/native/${native}.so)
    string(APPEND failure "\nweir.native.${native} was not installed")
  endif()
endforeach()
file(REMOVE_RECURSE ${prefix})
if(failure)
  message(FATAL_ERROR "${failure}")
endif()
