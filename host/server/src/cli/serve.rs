//! `dealsync serve`: the scheduler, and commands from beside it, until told to stop.

use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::out::{CliError, Out};
use super::{Globals, Request, execute, open};
use crate::app::App;
use crate::control;
use crate::scheduler::{Bell, Scheduler};

/// Runs the service until SIGINT or SIGTERM.
pub(super) async fn serve(globals: &Globals) -> Result<(), CliError> {
    let app = open(globals, &globals.data)?;
    let door = control::open(app.data()).map_err(|error| {
        CliError::run(format!("the socket for commands cannot be opened: {error}"))
            .hint("the data folder must lie on a disk that holds sockets")
    })?;
    let shutdown = shutdown()?;
    let (scheduler, bell) = Scheduler::new(app.clone());
    tracing::info!(data = %app.data().display(), "Serving {}", app.data().display());
    let commands = {
        let app = app.clone();
        control::answer(
            door,
            move |request, out| answer(app.clone(), bell.clone(), request, out),
            told(shutdown.clone()),
        )
    };
    tokio::join!(scheduler.run(told(shutdown)), commands);
    tracing::info!("Stopped");
    Ok(())
}

async fn answer(app: App, bell: Bell, request: Request, out: Arc<dyn Out>) -> Result<(), CliError> {
    let touched = execute(&app, &request, &*out).await?;
    for tenant in touched {
        bell.ring(tenant);
    }
    Ok(())
}

async fn told(mut shutdown: watch::Receiver<bool>) {
    // The sender lives until it has told.
    let _ = shutdown.wait_for(|told| *told).await;
}

/// Turns true at the first signal to stop; a second one ends the process at once.
fn shutdown() -> Result<watch::Receiver<bool>, CliError> {
    let failed = |error: std::io::Error| CliError::run(format!("signals cannot be waited for: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        next().await;
        tracing::info!("Stopping after the page at hand");
        let _ = sender.send(true);
        next().await;
        std::process::exit(130);
    });
    Ok(receiver)
}
