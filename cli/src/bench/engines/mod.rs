//! Objects → a row of figures for each program and engine, and what is made of the rows.
//!
//! [`subjects`] finds what there is to measure, [`measured`] measures a program on all engines at once; tables, the
//! plot and the report are made of [`row::Row`]s alone.

pub mod goals;
pub mod means;
pub mod measured;
pub mod plot;
pub mod report;
pub mod row;
pub mod subjects;
pub mod table;
