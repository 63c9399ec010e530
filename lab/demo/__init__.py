"""The demo: Headrace's main job, shown with a real control plane, real Git and real controllers.

    script.py    what happens, in order: chapters of named steps, as data
    steps.py     what each step does, and how it sees that the cluster followed
    stage.py     the place where it happens: a clone, kubectl, git, looks at the API server
    play.py      run the steps, measure them, tell a display
    remarks.py   what is told, and as which plain lines
    display.py   lines for a file; terminal.py: colours and a spinner for a person, and the picture

Times count from the moment the user's command returned until the API server showed the result.
"""
