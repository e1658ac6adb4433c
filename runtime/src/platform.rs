//! The in-process platform: Linux's rows, narrowed to the helpers and map kinds that exist here.
